//! What `postconf -t` and `postconf -b` show: the templates, as they are and as people will read them.

use std::io::Write;

use engine_report::Macros;

use crate::settings::Settings;

/// Prints the templates as a template file, and ends the program.
pub(crate) fn dump(settings: &Settings) -> ! {
    let texts = settings.templates.by_kind().map(|(kind, template)| template.dump(kind));
    print(&texts.join("\n"))
}

/// Prints the texts with parameter values in them, and ends the program.
pub(crate) fn expand(settings: &Settings) -> ! {
    let mut texts = Vec::new();
    for (kind, template) in settings.templates.by_kind() {
        let lookup = |name: &str| settings.macro_value(kind, name);
        if let Some(line) = template.first_line_with_unknown(&|name| lookup(name).is_some()) {
            os_log::fatal!("{}: undefined $name in {kind} template: {line}", settings.template_origin);
        }
        let lines = template.text(&Macros { lookup: &lookup });
        texts.push(format!("expanded_{kind}_text = <<EOF\n{}\nEOF\n", lines.join("\n")));
    }
    print(&texts.join("\n"))
}

fn print(text: &str) -> ! {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        os_log::fatal!("write error: {}", os_sys::error_text(&error));
    }
    std::process::exit(0)
}
