//! Configuration: an administrator's files, which may hold anything.

use std::path::Path;

use engine_report::Templates;
use host_config::{Config, main_cf as grammar, master_cf as services};
use mail_text::expand::{Options, expand as expand_text};

/// Text with `$name` in it.
pub(crate) fn expand(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let scope = |name: &str| match name {
        "short" => Some("value".to_owned()),
        "again" => Some("$short ${short?{yes}:{no}} $$".to_owned()),
        "loop" => Some("$loop".to_owned()),
        _ => None,
    };
    for recursive in [false, true] {
        let options = Options { recursive, allowed: Some("abcdefghijklmnopqrstuvwxyz.") };
        let _ = expand_text(&text, options, &scope);
    }
    let _ = mail_text::expand::level(&text);
    let _ = mail_text::list::words_with_groups(&text);
    let _ = mail_text::wrap(&text, 60, "    ");
}

/// A main.cf, and the value of every parameter in it.
pub(crate) fn main_cf(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(mut settings) = grammar::parse("main.cf", &text) else { return };
    // Values that make the default of mynetworks fatal, as in the reference.
    for name in ["inet_interfaces", "inet_protocols", "mynetworks_style"] {
        settings.remove(name);
    }
    let names: Vec<String> = settings.keys().cloned().collect();
    let config = Config::with_settings(Path::new("/nonexistent"), settings);
    // A circle is fatal wherever it is met: fatal errors end the process.
    if ["mydomain", "mynetworks"].iter().any(|name| config.default_text(name).is_err()) {
        return;
    }
    for name in &names {
        if let Ok(Some(value)) = config.text(name) {
            let _ = config.expand(&value);
        }
    }
    let _ = (config.compatibility_level(), config.notify_classes(), config.queue_directory());
}

/// A master.cf.
pub(crate) fn master_cf(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for chroot in [false, true] {
        let _ = services::parse("master.cf", &text, chroot);
    }
    let _ = services::lines_of("master.cf", &text);
}

/// A bounce template file.
pub(crate) fn bounce_template(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(parsed) = Templates::parse("bounce.cf", &text) {
        for (kind, template) in parsed.templates.by_kind() {
            let _ = template.dump(kind);
        }
    }
}
