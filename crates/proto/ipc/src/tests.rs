use super::*;
use crate::bounce::Request as BounceRequest;
use crate::delivery::{DeliveryReply, DeliveryRequest, MessageStats, RecipientInfo, Stamp};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "·")
}

fn null() -> Format {
    Format::default()
}

#[test]
fn a_status_reply_is_name_value_and_terminator() {
    let reply = cleanup::Reply { status: 0, reason: String::new() };
    assert_eq!(text(&encode(&reply, null()).unwrap()), "status·0·reason···");
    let minus = StatusReply { status: -1 };
    assert_eq!(text(&encode(&minus, null()).unwrap()), "status·4294967295··");
    assert_eq!(decode::<StatusReply>(b"status\x00-1\0\0", null()).unwrap().unwrap().0, minus);
    assert_eq!(decode::<StatusReply>(b"status\x004294967295\0\0", null()).unwrap().unwrap(), (minus, 19));
}

#[test]
fn the_same_name_may_stand_twice() {
    let reply = DeliveryReply { status: -1, hop_status: "4.4.1".into(), ..DeliveryReply::default() };
    let bytes = encode(&reply, null()).unwrap();
    assert_eq!(
        text(&bytes),
        "status·4.4.1·diag_type··diag_text··mta_type··mta_mname··action··reason··status·4294967295··"
    );
    assert_eq!(decode::<DeliveryReply>(&bytes, null()).unwrap().unwrap().0, reply);
}

#[test]
fn a_list_that_is_not_complete_asks_for_more() {
    let bytes = encode(&cleanup::Reply { status: 1, reason: "x y".into() }, null()).unwrap();
    for cut in 0..bytes.len() {
        assert!(decode::<cleanup::Reply>(&bytes[..cut], null()).unwrap().is_none());
    }
}

#[test]
fn order_and_names_matter() {
    for bad in [
        &b"reason\0\0status\x000\0\0"[..],
        b"status\x000\0\0",
        b"status\x000\0reason\0\0extra\x001\0\0",
        b"status\0x\0reason\0\0\0",
    ] {
        assert!(decode::<cleanup::Reply>(bad, null()).is_err(), "{}", text(bad));
    }
}

#[test]
fn delivery_requests_are_as_traced_in_both_dialects() {
    let stats = MessageStats {
        incoming_arrival: Stamp { seconds: 1_795_322_095, microseconds: 213_071 },
        active_arrival: Stamp { seconds: 1_795_322_095, microseconds: 324_266 },
        ..MessageStats::default()
    };
    let request = DeliveryRequest {
        flags: 3,
        queue_name: "active".into(),
        time: stats.to_data(),
        ..Default::default()
    };
    let old = text(&encode(&request, Format::null(Dialect::V3_7)).unwrap());
    assert!(old.contains("encoding··smtputf8·0·sender·"), "{old}");
    assert!(old.contains("time·73ACawAAAABPQAMAAAAAAO9wAmsAAAAAqvIEAAAA"), "{old}");
    let bytes = encode(&request, null()).unwrap();
    assert!(text(&bytes).contains("encoding··sendopts·0·sender·"));
    for format in [null(), Format::null(Dialect::V3_7)] {
        let bytes = encode(&request, format).unwrap();
        let (back, _) = decode::<DeliveryRequest>(&bytes, null()).unwrap().unwrap();
        assert_eq!(back, request);
        assert_eq!(MessageStats::from_data(&back.time), Some(stats));
    }
}

#[test]
fn structs_inside_structs_are_inline() {
    let append = bounce::Append {
        nrequest: 0,
        flags: 0,
        queue_id: "8496B99221C".into(),
        recipient: RecipientInfo { recipient: "a@b".into(), offset: 813, ..Default::default() },
        status: bounce::Status { status: "5.1.1".into(), ..Default::default() },
    };
    let bytes = encode(&append, null()).unwrap();
    assert!(text(&bytes).starts_with(
        "nrequest·0·flags·0·queue_id·8496B99221C·original_recipient··recipient·a@b·offset·813·"
    ));
    assert_eq!(decode::<BounceRequest>(&bytes, null()).unwrap().unwrap().0, BounceRequest::Append(append));
    let message = bounce::MessageInfo { queue_id: "X1".into(), ..Default::default() };
    let flush = bounce::Notice { nrequest: 1, message: message.clone() };
    let bytes = encode(&flush, Format::null(Dialect::V3_7)).unwrap();
    assert_eq!(decode::<BounceRequest>(&bytes, null()).unwrap().unwrap().0, BounceRequest::Flush(message));
}

#[test]
fn listings_end_with_an_empty_list() {
    assert_eq!(encode(&showq::EndOfListing {}, null()).unwrap(), b"\0");
    let message = showq::Message37 {
        queue_name: "deferred".into(),
        queue_id: "8496B99221C".into(),
        time: 1_795_322_095,
        size: 370,
        forced_expire: 0,
        sender: "s@x".into(),
        recipients: vec![showq::Recipient37 { recipient: "a@b".into(), reason: "r".into() }; 2],
    };
    let bytes = encode(&message, null()).unwrap();
    assert!(text(&bytes).ends_with("recipient·a@b·reason·r·recipient·a@b·reason·r··"));
    assert_eq!(decode::<showq::Message37>(&bytes, null()).unwrap().unwrap().0, message);
}

#[test]
fn anvil_speaks_lines() {
    let reply = anvil::ConnectReply { status: 0, count: 1, rate: 1 };
    assert_eq!(encode(&reply, Format::plain()).unwrap(), b"status=0\ncount=1\nrate=1\n\n");
    let query: anvil::Query =
        decode(b"request=connect\nident=27001:127.0.0.1\n\n", Format::plain()).unwrap().unwrap().0;
    assert_eq!(query.ident, "27001:127.0.0.1");
}

#[test]
fn hashes_have_braces() {
    #[derive(Serialize, serde::Deserialize, PartialEq, Debug)]
    struct Macros {
        size: i32,
        macros: std::collections::BTreeMap<String, String>,
        last: String,
    }
    let macros = Macros { size: 1, macros: [("{x}".to_owned(), "y".to_owned())].into(), last: "z".into() };
    let bytes = encode(&macros, null()).unwrap();
    assert_eq!(text(&bytes), "size·1·{·{x}·y·}·last·z··");
    assert_eq!(decode::<Macros>(&bytes, null()).unwrap().unwrap().0, macros);
}

#[test]
fn values_cannot_smuggle_attributes() {
    assert!(encode(&cleanup::Reply { status: 0, reason: "a\0b".into() }, null()).is_err());
    assert!(
        encode(&anvil::Query { request: "connect\nx=y".into(), ident: "i".into() }, Format::plain()).is_err()
    );
}

#[test]
fn base64_goes_both_ways() {
    for size in 0..40u8 {
        let bytes: Vec<u8> = (0..size).map(|b| b.wrapping_mul(37)).collect();
        let text = crate::base64::encode(&bytes);
        assert_eq!(crate::base64::decode(text.as_bytes()), Some(bytes));
    }
    assert_eq!(crate::base64::decode(b"abc"), None);
    assert_eq!(crate::base64::decode(b"a==="), None);
}
