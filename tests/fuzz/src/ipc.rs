//! Messages between daemons.

use proto_ipc::{Dialect, Format, anvil, bounce, cleanup, delivery, flush, proxymap, rewrite, showq, verify};

macro_rules! decode_all {
    ($bytes:expr, $format:expr, $($type:ty),* $(,)?) => {$(
        if let Ok(Some((message, used))) = proto_ipc::decode::<$type>($bytes, $format) {
            assert!(used <= $bytes.len());
            // What was understood can be said again.
            let _ = proto_ipc::encode(&message, $format);
        }
    )*};
}

/// Each message from the same bytes, in each form.
pub(crate) fn ipc(bytes: &[u8]) {
    for format in [Format::null(Dialect::V3_11), Format::null(Dialect::V3_7), Format::plain()] {
        decode_all!(
            bytes,
            format,
            anvil::Query,
            anvil::LookupReply,
            bounce::Append,
            bounce::MessageInfo,
            bounce::Notice,
            bounce::VerpNotice,
            bounce::OneNotice,
            cleanup::Greeting,
            cleanup::Head,
            cleanup::Reply,
            delivery::DeliveryRequest,
            delivery::RecipientInfo,
            delivery::DeliveryReply,
            flush::Add,
            flush::SendSite,
            flush::SendFile,
            proxymap::Open,
            proxymap::Open37,
            proxymap::Lookup,
            proxymap::Update,
            proxymap::Sequence,
            proxymap::Value,
            proxymap::KeyValue,
            rewrite::RewriteQuery,
            rewrite::RewriteReply,
            rewrite::ResolveReply,
            showq::Message,
            showq::Recipient,
            verify::Query,
            verify::Update,
            verify::QueryReply,
            proto_ipc::Announcement,
            proto_ipc::StatusReply,
        );
        let _ = rewrite::Request::decode(bytes, format);
    }
}
