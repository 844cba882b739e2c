//! Tables and configuration: `postmap`, `postalias`, `postconf`, main.cf.

use crate::commands::{record, tidy};
use harness::{golden, isolated};
use std::fmt::Write as _;

#[test]
fn postmap_makes_and_queries_tables() {
    isolated(|world| {
        let mta = world.mta("mail").build();
        let file = |name: &str, text: &str| std::fs::write(mta.config().join(name), text).unwrap();
        file(
            "map",
            "# comment\nKey value one\nkey2\tvalue  two\n  continued\nempty\nkey again\n\"quoted key\" v\nUPPER Mixed Case\n",
        );
        file("regexp", "/^a(.*)b$/ got $1\n!/x/ no x\nif /z/\n/zz/ two\nendif\n");
        file("cidr", "10.0.0.0/8 ten\n!192.168.0.0/16 other\n::1 six\n");
        file("texts", "a 1\nB 2\n");
        let mut text = String::new();
        record(
            &mta,
            &mut text,
            &[
                "postmap hash:$CONFIG/map",
                "postmap -w hash:$CONFIG/map",
                "postmap -q key hash:$CONFIG/map",
                "postmap -q KEY hash:$CONFIG/map",
                "postmap -q key2 hash:$CONFIG/map",
                "postmap -q upper hash:$CONFIG/map",
                "postmap -q nosuch hash:$CONFIG/map",
                "postmap -q empty hash:$CONFIG/map",
                "postmap -d key hash:$CONFIG/map",
                "postmap -q key hash:$CONFIG/map",
                "postmap -d key hash:$CONFIG/map",
                "postmap -q aXb regexp:$CONFIG/regexp",
                "postmap -q x regexp:$CONFIG/regexp",
                "postmap -q xzz regexp:$CONFIG/regexp",
                "postmap -q 10.1.2.3 cidr:$CONFIG/cidr",
                "postmap -q 192.168.1.1 cidr:$CONFIG/cidr",
                "postmap -q 11.0.0.1 cidr:$CONFIG/cidr",
                "postmap -q ::1 cidr:$CONFIG/cidr",
                "postmap -q a texthash:$CONFIG/texts",
                "postmap -q b texthash:$CONFIG/texts",
                "postmap -q x static:value",
                "postmap -q b inline:{a=1,b=2}",
                "postmap -q c inline:{a=1,b=2}",
                "postmap hash:$CONFIG/nosuch",
                "postmap -q x hash:$CONFIG/nosuch",
                "postmap -q x nosuch:$CONFIG/map",
                "postmap -q x unix:passwd.byname",
            ],
        );
        let run = mta.run_with(
            "postmap",
            &["-i", &format!("hash:{}", mta.config().join("map").display())],
            "added value\n",
        );
        let _ = writeln!(text, "-i {}{}= {}", run.out, run.err, run.code);
        let run = mta.run_with(
            "postmap",
            &["-q", "-", &format!("hash:{}", mta.config().join("map").display())],
            "key2\nadded\nnosuch\n",
        );
        let _ = writeln!(text, "-q - {}{}= {}", run.out, run.err, run.code);
        let run = mta.run("postmap", &["-s", &format!("hash:{}", mta.config().join("map").display())]);
        let mut lines: Vec<&str> = run.out.lines().collect();
        lines.sort_unstable();
        let _ = writeln!(text, "-s sorted\n{}\n{}= {}", lines.join("\n"), run.err, run.code);
        golden(&mta, "commands/postmap", &tidy(&mta, &text), &[]);
    });
}

#[test]
fn postalias_makes_and_queries_alias_tables() {
    isolated(|world| {
        let mta = world.mta("mail").build();
        std::fs::write(mta.config().join("al"), "# c\nRoot: alice, bob\nlist: :include:/x, \"|cmd arg\",\n  /file\n\"quo ted\": x\nbad line\nroot: again\nnull:\n").unwrap();
        let mut text = String::new();
        record(
            &mta,
            &mut text,
            &[
                "postalias hash:$CONFIG/al",
                "postalias -q root hash:$CONFIG/al",
                "postalias -q list hash:$CONFIG/al",
                "postalias -q quo~ted hash:$CONFIG/al",
                "postalias -q nosuch hash:$CONFIG/al",
                "postalias -z",
            ],
        );
        golden(&mta, "commands/postalias", &tidy(&mta, &text), &[]);
    });
}

#[test]
fn tables_made_by_one_are_read_by_the_other() {
    if harness::needs_reference("to exchange tables with") {
        return;
    }
    isolated(|world| {
        let text: String = (0..3000).map(|n| format!("key{n} value {n} {}\n", "x".repeat(n % 700))).collect();
        for (maker, reader) in [("first", "second"), ("second", "first")] {
            let first = world.mta_again("first").target(harness::Target::Theirs).build();
            let second = world.mta_again("second").build();
            let pick = |name: &str| if name == "first" { &first } else { &second };
            let path = world.dir().join(format!("table-{maker}"));
            std::fs::write(&path, &text).unwrap();
            let table = format!("hash:{}", path.display());
            let run = pick(maker).run("postmap", &[&table]);
            assert_eq!((run.code, run.err.as_str()), (0, ""), "{maker}");
            let run = pick(reader).run("postmap", &["-s", &table]);
            let mut got: Vec<&str> = run.out.lines().collect();
            got.sort_unstable();
            let mut want: Vec<String> =
                text.lines().map(|line| line.replacen(' ', "\t", 1).trim_end().to_owned()).collect();
            want.sort_unstable();
            assert_eq!(got, want, "{reader} reads what {maker} made");
            let run = pick(reader).run("postmap", &["-q", "KEY2999", &table]);
            assert!(run.out.starts_with("value 2999 xxx"), "{}{}", run.out, run.err);
        }
    });
}

#[test]
fn postconf_shows_and_edits() {
    isolated(|world| {
        let mta = world.mta("mail").main("mynetworks_style = subnet\nrelay_domains = $mydestination").build();
        let mut text = String::new();
        record(
            &mta,
            &mut text,
            &[
                "postconf myhostname mydomain",
                "postconf -h myhostname",
                "postconf -d mydestination myorigin queue_run_delay",
                "postconf -x mydestination relay_domains",
                "postconf -n mynetworks_style relay_domains myhostname",
                "postconf nosuch_parameter",
                "postconf -d nosuch_parameter",
                "postconf -e mydomain=changed.example",
                "postconf -h mydomain",
                "postconf -e myhostname=a.example my_new=b",
                "postconf my_new",
                "postconf -# my_new",
                "postconf -X mydomain",
                "postconf -n mydomain",
                "postconf -M smtp/unix",
                "postconf -M smtp",
                "postconf -M nosuch/unix",
                "postconf -F smtp/unix/command",
                "postconf -P",
                "postconf -o mydomain=x.example mydomain",
                "postconf -e novalue",
                "postconf -d bounce_queue_lifetime smtpd_recipient_limit inet_interfaces default_privs",
            ],
        );
        golden(&mta, "commands/postconf", &tidy(&mta, &text), &[]);
    });
}

#[test]
fn main_cf_grammar_and_its_errors() {
    isolated(|world| {
        let mta = world.mta("mail").build();
        let mut text = String::new();
        for extra in [
            "first = one\n  two\n# comment\n   three\nfirst_x = $first",
            "no equals sign",
            "a = $b\nb = $a",
            "x = ${myhostname?yes:no} ${nosuch_thing?yes} ${nosuch_thing:no} ${myhostname?{yes}:{no}} ${{a}=={b}?{same}:{other}} $$y ${undefined}",
            "unclosed = ${myhostname",
            "smtpd_recipient_limit = many",
            "delay_warning_time = 5x",
            "  leading = blanks",
            "= nothing",
            "twice = 1\ntwice = 2",
        ] {
            let main = std::fs::read_to_string(mta.config().join("main.cf")).unwrap();
            let path = mta.config().join("case");
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir(&path).unwrap();
            harness::write_aged(&path.join("main.cf"), &format!("{main}{extra}\n"));
            std::fs::copy(mta.config().join("master.cf"), path.join("master.cf")).unwrap();
            let name = extra.split([' ', '=']).next().unwrap();
            for args in [
                vec!["-c", path.to_str().unwrap(), "-x", name],
                vec!["-c", path.to_str().unwrap(), "-h", "first_x"],
            ] {
                if args[3].is_empty() {
                    continue;
                }
                let run = mta.run("postconf", &args);
                let _ = writeln!(
                    text,
                    "{extra}\n$ postconf {} {}\n{}{}= {}",
                    args[2], args[3], run.out, run.err, run.code
                );
            }
        }
        golden(&mta, "commands/main_cf", &tidy(&mta, &text), &[]);
    });
}
