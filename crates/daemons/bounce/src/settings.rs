//! Parameters of the bounce service.

use std::path::PathBuf;
use std::time::Duration;

use engine_report::Templates;
use host_config::{Config, ConfigError, param};
use proto_ipc::{Dialect, Format};

/// Resolved settings.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // one flag a notify class
pub struct Settings {
    /// `myhostname`
    pub myhostname: String,
    /// `mail_name`
    pub mail_name: String,
    /// `myorigin`
    pub myorigin: String,
    /// `bounce_size_limit` (bytes)
    pub size_limit: i64,
    /// `double_bounce_sender`, without domain
    pub double_bounce_sender: String,
    /// `bounce_notice_recipient`
    pub bounce_recipient: String,
    /// `2bounce_notice_recipient`
    pub double_bounce_recipient: String,
    /// `delay_notice_recipient`
    pub delay_recipient: String,
    /// `notify_classes` has `bounce`
    pub notify_bounce: bool,
    /// `notify_classes` has `2bounce`
    pub notify_double_bounce: bool,
    /// `notify_classes` has `delay`
    pub notify_delay: bool,
    /// `enable_threaded_bounces`
    pub threaded: bool,
    /// `maximal_queue_lifetime`
    pub queue_lifetime: Duration,
    /// `delay_warning_time`
    pub delay_warning: Duration,
    /// `bounce_queue_lifetime`
    pub bounce_lifetime: Duration,
    /// Built-in templates, or those of `bounce_template_file`.
    pub templates: Templates,
    /// Where they come from, for messages.
    pub template_origin: String,
    /// Socket of cleanup.
    pub cleanup: PathBuf,
    /// Format of internal dialogues.
    pub format: Format,
    /// `ipc_timeout`
    pub ipc_timeout: Duration,
}

impl Settings {
    /// Reads the configuration and the template file.
    ///
    /// # Errors
    /// [`ConfigError`] for a bad value.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let classes = config.notify_classes()?;
        let notifies =
            |class: &str| mail_text::list::words(&classes).any(|word| word.eq_ignore_ascii_case(class));
        let double_bounce = config.str(param::DOUBLE_BOUNCE_SENDER)?;
        Ok(Self {
            myhostname: config.str(param::MYHOSTNAME)?,
            mail_name: config.str(param::MAIL_NAME)?,
            myorigin: config.str(param::MYORIGIN)?,
            size_limit: config.int(param::BOUNCE_SIZE_LIMIT)?,
            double_bounce_sender: mail_address::split(&double_bounce).0.to_owned(),
            bounce_recipient: config.str(param::BOUNCE_NOTICE_RECIPIENT)?,
            double_bounce_recipient: config.str(param::P2BOUNCE_NOTICE_RECIPIENT)?,
            delay_recipient: config.str(param::DELAY_NOTICE_RECIPIENT)?,
            notify_bounce: notifies("bounce"),
            notify_double_bounce: notifies("2bounce"),
            notify_delay: notifies("delay"),
            threaded: config.bool(param::ENABLE_THREADED_BOUNCES)?,
            queue_lifetime: config.time(param::MAXIMAL_QUEUE_LIFETIME)?,
            delay_warning: config.time(param::DELAY_WARNING_TIME)?,
            bounce_lifetime: config.time(param::BOUNCE_QUEUE_LIFETIME)?,
            templates: templates(&config.str(param::BOUNCE_TEMPLATE_FILE)?)?,
            template_origin: Some(config.str(param::BOUNCE_TEMPLATE_FILE)?)
                .filter(|file| !file.is_empty())
                .unwrap_or_else(|| "[built-in]".to_owned()),
            cleanup: PathBuf::from("public").join(config.str(param::CLEANUP_SERVICE_NAME)?),
            format: Format::null(
                Dialect::from_name(&config.str(param::POSTINO_IPC_DIALECT)?).unwrap_or_default(),
            ),
            ipc_timeout: config.time(param::IPC_TIMEOUT)?,
        })
    }

    /// The sender of postmaster notices.
    pub fn double_bounce(&self) -> String {
        format!("{}@{}", self.double_bounce_sender, self.myhostname)
    }

    /// The value of a macro in the template `kind`: a parameter of this service, times also with a unit suffix
    /// (`…_hours`). A time that is less than one unit draws a warning.
    pub fn macro_value(&self, kind: &str, name: &str) -> Option<String> {
        let plain = match name {
            "myhostname" => Some(self.myhostname.clone()),
            "mail_name" => Some(self.mail_name.clone()),
            "myorigin" => Some(self.myorigin.clone()),
            _ => None,
        };
        plain.or_else(|| self.time_macro(kind, name))
    }

    fn time_macro(&self, kind: &str, name: &str) -> Option<String> {
        let (base, unit) = name.rsplit_once('_')?;
        let seconds = match unit {
            "seconds" => 1,
            "minutes" => 60,
            "hours" => 3600,
            "days" => 86400,
            "weeks" => 604_800,
            _ => return None,
        };
        let time = match base {
            "delay_warning_time" => self.delay_warning,
            "maximal_queue_lifetime" => self.queue_lifetime,
            "bounce_queue_lifetime" => self.bounce_lifetime,
            _ => return None,
        };
        let result = time.as_secs() / seconds;
        if result == 0 && !time.is_zero() {
            os_log::warning!(
                "{}: zero result in {kind} template conversion of parameter \"{name}\"",
                self.template_origin
            );
            os_log::warning!("please reduce time unit \"{unit}\" of \"{name}\" in {kind} template");
            os_log::warning!("for instructions see the bounce(5) manual");
        }
        Some(result.to_string())
    }
}

fn templates(file: &str) -> Result<Templates, ConfigError> {
    if file.is_empty() {
        return Ok(Templates::default());
    }
    let failed = |what: &str, error: &std::io::Error| {
        ConfigError(format!("{what} {file}: {}", os_sys::error_text(error)))
    };
    let mut text = Vec::new();
    let mut source = std::fs::File::open(file).map_err(|e| failed("open", &e))?;
    std::io::Read::read_to_end(&mut source, &mut text).map_err(|e| failed("read", &e))?;
    let parsed = Templates::parse(file, &String::from_utf8_lossy(&text)).map_err(|why| ConfigError(why.0))?;
    for warning in parsed.warnings {
        os_log::warning!("{warning}");
    }
    Ok(parsed.templates)
}
