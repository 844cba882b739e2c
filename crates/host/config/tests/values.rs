//! main.cf files on disk, read as daemons read them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use host_config::param::Kind;
use host_config::{Config, Suffix, param};

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str, main_cf: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("host-config-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("main.cf"), main_cf).unwrap();
        Self(dir)
    }

    fn load(&self) -> Config {
        Config::load(&self.0).unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn values_come_from_overrides_then_main_cf_then_defaults() {
    let dir = Dir::new(
        "order",
        "myhostname = mx.example.org\nqueue_run_delay = 5m\nsoft_bounce =YES\nx = $y\n y2\ny = 1\n",
    );
    let mut config = dir.load();
    assert_eq!(config.str(param::MYDOMAIN).unwrap(), "example.org");
    assert_eq!(config.str(param::MYORIGIN).unwrap(), "mx.example.org");
    assert_eq!(config.str(param::MYDESTINATION).unwrap(), "mx.example.org, localhost.example.org, localhost");
    assert_eq!(config.time(param::QUEUE_RUN_DELAY).unwrap(), Duration::from_secs(300));
    assert!(config.bool(param::SOFT_BOUNCE).unwrap());
    assert_eq!(config.user_value("x").unwrap().as_deref(), Some("1 y2"));
    assert!(config.is_explicit("x") && !config.is_explicit("myorigin"));
    config.set_override("queue_run_delay = 7").unwrap();
    assert_eq!(config.time(param::QUEUE_RUN_DELAY).unwrap(), Duration::from_secs(7));
    assert_eq!(
        config.set_override("foo").unwrap_err().to_string(),
        "invalid \"-o foo\" option value: missing '=' after attribute name"
    );
}

#[test]
fn compatibility_level_decides_defaults() {
    let dir = Dir::new("level", "compatibility_level = 2\n");
    let mut config = dir.load();
    assert!(!config.bool(param::APPEND_DOT_MYDOMAIN).unwrap());
    assert_eq!(config.str(param::RELAY_DOMAINS).unwrap(), "");
    config.set("compatibility_level", "0");
    assert!(config.bool(param::APPEND_DOT_MYDOMAIN).unwrap());
    assert!(!config.str(param::RELAY_DOMAINS).unwrap().is_empty());
}

#[test]
fn bad_values_give_the_texts_of_the_reference() {
    let dir = Dir::new("bad", "");
    let error = |name: &str, value: &str, read: fn(&Config) -> Option<host_config::ConfigError>| {
        let mut config = dir.load();
        config.set(name, value);
        read(&config).map(|e| e.to_string()).unwrap_or_default()
    };
    let bool = |c: &Config| c.bool(param::SOFT_BOUNCE).err();
    let int = |c: &Config| c.int(param::DEFAULT_PROCESS_LIMIT).err();
    let time = |c: &Config| c.time(param::QUEUE_RUN_DELAY).err();
    let str = |c: &Config| c.str(param::MAIL_NAME).err();
    assert_eq!(error("soft_bounce", "on", bool), "bad boolean configuration: soft_bounce = on");
    assert_eq!(
        error("default_process_limit", "5x", int),
        "bad numerical configuration: default_process_limit = 5x"
    );
    assert_eq!(
        error("default_process_limit", "0", int),
        "invalid default_process_limit parameter value 0 < 1"
    );
    assert_eq!(error("queue_run_delay", "5M", time), "parameter queue_run_delay: bad time value or unit: 5M");
    assert_eq!(error("queue_run_delay", "0s", time), "invalid queue_run_delay: 0 (min 1)");
    assert_eq!(error("queue_run_delay", "3sec", time), "");
    assert_eq!(error("mail_name", "", str), "bad string length 0 < 1: mail_name = ");
    assert_eq!(error("mail_name", "$", str), "dictionary mail_dict: macro processing error");
}

#[test]
fn services_have_their_own_values_or_the_common_ones() {
    let dir = Dir::new(
        "service",
        "slow-x_destination_concurrency_limit = 3\ndefault_destination_rate_delay = 1m\n",
    );
    let config = dir.load();
    let limit = Suffix::DestinationConcurrencyLimit;
    assert_eq!(config.service_int("slow-x", limit).unwrap(), 3);
    assert_eq!(config.service_int("other", limit).unwrap(), 20);
    assert_eq!(config.service_int("local", limit).unwrap(), 2);
    assert_eq!(config.service_time("other", Suffix::DestinationRateDelay).unwrap(), Duration::from_secs(60));
}

#[test]
fn unreadable_and_malformed_files_say_so() {
    let missing = std::env::temp_dir().join("host-config-none");
    let path = missing.join("main.cf").display().to_string();
    assert_eq!(
        Config::load(&missing).unwrap_err().to_string(),
        format!("open {path}: No such file or directory")
    );
    let dir = Dir::new("form", "a = 1\nfoo\n");
    let path = dir.0.join("main.cf").display().to_string();
    let error = Config::load(&dir.0).unwrap_err().to_string();
    assert_eq!(error, format!("{path}, line 2: missing '=' after attribute name: \"foo\""));
}

#[test]
fn sanity_checks_find_contradictions() {
    let dir = Dir::new("check", "myhostname = a.example\nrelayhost = A.example\n");
    let mut config = dir.load();
    config.set("mail_owner", "daemon");
    config.set("setgid_group", "mail");
    assert_eq!(
        config.check("smtpd").unwrap_err().to_string(),
        "myhostname and relayhost parameter settings must not be identical: a.example"
    );
    config.set("relayhost", "");
    config.check("smtpd").unwrap();
    config.set("syslog_facility", "post");
    let error = config.check("smtpd").unwrap_err().to_string();
    assert!(error.ends_with("/main.cf: parameter syslog_facility: unrecognized value: post"), "{error}");
}

#[test]
fn ports_have_names_of_their_own() {
    let config = Dir::new("ports", "").load();
    assert_eq!(config.port("2525").unwrap(), Some(2525));
    assert_eq!(config.port("submissions").unwrap(), Some(465));
    assert_eq!(config.port("smtp").unwrap(), Some(25));
}

#[test]
fn every_default_is_a_valid_value() {
    let config = Dir::new("defaults", "mail_owner = daemon\nvirtual_mailbox_base = /\n").load();
    for row in param::TABLE.iter().filter(|row| row.kind != Kind::Raw) {
        let text = config.default_text(row.name).unwrap().unwrap().into_owned();
        config.expand(&text).unwrap_or_else(|e| panic!("{}: {e}", row.name));
    }
    let mut explicit = config.clone();
    for row in param::TABLE.iter().filter(|row| !row.default.is_empty()) {
        let text = config.default_text(row.name).unwrap().unwrap().into_owned();
        explicit.set(row.name, &text);
    }
    explicit.set("mail_owner", "daemon");
    explicit.set("setgid_group", "mail");
    explicit.check("smtpd").unwrap();
}

#[test]
fn host_and_domain_name_may_refer_to_each_other() {
    let text = |settings: &[(&str, &str)], name: &str| {
        let settings =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let config = Config::with_settings(Path::new("/nonexistent"), settings);
        config.expand(&format!("${name}")).unwrap()
    };
    assert_eq!(text(&[("myhostname", "mail.$mydomain")], "myhostname"), "mail.");
    assert_eq!(text(&[("myhostname", "mail.$mydomain")], "mydomain"), "");
    assert!(text(&[("mydomain", "x.$myhostname")], "mydomain").starts_with("x."));
    assert_eq!(
        text(
            &[("mynetworks_style", "host$mynetworks"), ("inet_interfaces", "loopback-only")],
            "mynetworks_style"
        )
        .split(' ')
        .next()
        .unwrap()
        .get(..4),
        Some("host")
    );
}
