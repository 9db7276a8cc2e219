//! Shell completions and manual pages, as a user installs them. What a missing tool would check is said loudly.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::programs::{INSPECT, TRAIN, Workplace};

/// Whether a program is installed; says so if it is not.
fn has(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap().status.success();
    if !found {
        eprintln!("SKIPPED: `{program}` is not installed");
    }
    found
}

#[test]
fn every_shell_has_a_script_that_knows_the_commands() {
    let place = Workplace::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let train = place.train(&["completions", shell]);
        assert!(train.code == Some(0) && train.out.contains("find-lr") && train.out.contains("resume"), "{shell}");
        let inspect = place.inspect(&["completions", shell]);
        assert!(inspect.code == Some(0) && inspect.out.contains("watch") && inspect.out.contains("verify"), "{shell}");
        let script = place.path(&format!("script.{shell}"));
        fs::write(&script, train.out).unwrap();
        if ["bash", "zsh", "fish"].contains(&shell) && has(shell) {
            let checked = Command::new(shell).arg("-n").arg(&script).output().unwrap();
            assert!(checked.status.success(), "{shell}: {}", String::from_utf8_lossy(&checked.stderr));
        }
    }
    place.train_refuses(&["completions", "tcsh"], &["bash"]);
    place.inspect_refuses(2, &["completions"], &["SHELL"]);
}

/// The line that Tab makes of `line` in bash. The function of the script answers first, and files come if it has no answer.
fn completed(place: &Workplace, line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let (last, program) = (words[words.len() - 1], words[0]);
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "source script.bash\nCOMP_WORDS=({})\nCOMP_CWORD={}\n_{program} {program} '{last}' '{}'\n\
         [ ${{#COMPREPLY[@]}} = 0 ] && COMPREPLY=($(compgen -f -- '{last}'))\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        quoted.join(" "),
        words.len() - 1,
        words[words.len() - 2],
    );
    let output = Command::new("bash").args(["--norc", "-c", &script]).current_dir(place.path("")).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_files() {
    if !has("bash") {
        return;
    }
    let place = Workplace::new();
    fs::create_dir(place.path("examples")).unwrap();
    fs::write(place.path("examples/digits.toml"), "").unwrap();
    fs::write(place.path("script.bash"), place.train(&["completions", "bash"]).out).unwrap();
    assert_eq!(completed(&place, "train find"), ["find-lr"]);
    assert_eq!(completed(&place, "train --res"), ["--resume"]);
    assert_eq!(completed(&place, "train examples/d"), ["examples/digits.toml"]);
    assert_eq!(completed(&place, "train --resume examples/d"), ["examples/digits.toml"]);
    fs::write(place.path("script.bash"), place.inspect(&["completions", "bash"]).out).unwrap();
    assert_eq!(completed(&place, "inspect wat"), ["watch"]);
    assert_eq!(completed(&place, "inspect plot --sm"), ["--smooth"]);
}

/// Completes `line` in a shell, which reads `script`, with the completions of `program` in `script.SHELL` beside it.
/// Nothing may be said on stderr.
fn completed_in(shell: &str, script: &str, program: &str, line: &str) -> String {
    let place = Workplace::new();
    let made =
        if program == "train" { place.train(&["completions", shell]) } else { place.inspect(&["completions", shell]) };
    fs::write(place.path(&format!("script.{shell}")), made.out).unwrap();
    fs::write(place.path("ask"), script).unwrap();
    // A shell that waits for a key would wait without end.
    let mut command = Command::new("timeout");
    command
        .args(["60", shell, "ask", line])
        .current_dir(place.path(""))
        .env("HOME", place.path(""))
        .env("TERM", "xterm");
    let output = command.output().unwrap();
    assert!(output.stderr.is_empty(), "{shell}, {line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The words that a shell has to offer: of a command, an option, and an option of a command.
const OFFERED: [(&str, &str, &str); 5] = [
    ("train", "train find", "find-lr"),
    ("train", "train --res", "--resume"),
    ("train", "train find-lr --sta", "--start"),
    ("inspect", "inspect wat", "watch"),
    ("inspect", "inspect plot --sm", "--smooth"),
];

/// Asks fish as its Tab key does.
const FISH: &str = "source script.fish\ncomplete -C $argv[1]\n";

#[test]
fn fish_completes_commands_and_options() {
    if has("fish") {
        for (program, line, offered) in OFFERED {
            let found = completed_in("fish", FISH, program, line);
            let words: Vec<&str> = found.lines().filter_map(|line| line.split('\t').next()).collect();
            assert_eq!(words, [offered], "{line}");
        }
    }
}

/// Presses Tab in a zsh that has a terminal, and writes the line that results.
const ZSH: &str = r#"
zmodload zsh/zpty
zpty asked "zsh -f -i"
zpty -w asked "PS1=; autoload -Uz compinit; compinit -u -D; source ./script.zsh
show() { print -r -- \"\$BUFFER\" >line; exit }; zle -N show; bindkey '^X' show; bindkey '^I' complete-word; print ready"
zpty -r asked text '*ready*'
zpty -w -n asked "$1"$'\t\x18'
while zpty -r asked text; do :; done
cat line
"#;

#[test]
fn zsh_completes_commands_and_options() {
    if has("zsh") {
        for (program, line, offered) in OFFERED {
            let found = completed_in("zsh", ZSH, program, line);
            let last = found.split_whitespace().last().map(|word| word.trim_end_matches('='));
            assert_eq!(last, Some(offered), "{line}: {found}");
        }
    }
}

/// Only an interactive elvish has the module `edit:`. In its place is what the script uses of it.
const ELVISH: &str = "use str\n\
    var edit: = (ns [&completion:=(ns [&arg-completer=[&]]) &complex-candidate~={|text @_ &display=$nil| put $text }])\n\
    eval (slurp < script.elvish)\n\
    var words = [(str:split ' ' $args[0])]\n\
    $edit:completion:arg-completer[$words[0]] $@words | each {|word| echo $word }\n";

#[test]
fn elvish_offers_commands_and_options() {
    if has("elvish") {
        for (program, line, offered) in OFFERED {
            // It leaves out itself what does not begin with the last word.
            let found = completed_in("elvish", ELVISH, program, line);
            assert!(found.lines().any(|word| word == offered), "{line}: {found}");
        }
    }
}

/// The words that the script for PowerShell offers for a line: those of the command that its words before the last one
/// name, which begin with the last word. This is the work of the few lines of the script that are no table.
fn offered_by_powershell(script: &str, line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let (last, before) = words.split_last().unwrap();
    let begin = format!("\n        '{}' {{\n", before.join(";"));
    let table = script.split_once(&begin).unwrap_or_else(|| panic!("{begin} is not in {script}")).1;
    let table = table.split_once("\n            break\n").unwrap().0;
    let words = table.split("[CompletionResult]::new('").skip(1).filter_map(|rest| rest.split_once('\''));
    words.map(|(word, _)| word.to_owned()).filter(|word| word.starts_with(last)).collect()
}

/// The commands or long options in the help of a program.
fn in_help(help: &str, heading: &str) -> Vec<String> {
    let part = help.split_once(&format!("\n{heading}:\n")).map_or("", |(_, part)| part);
    let lines = part.lines().take_while(|line| heading != "Commands" || line.starts_with("  "));
    let word = |line: &str| match heading {
        "Commands" => line.split_whitespace().next().map(str::to_owned),
        _ if !line.trim_start().starts_with('-') => None,
        _ => line.split([' ', '=', '[', ',']).find(|word| word.starts_with("--")).map(str::to_owned),
    };
    lines.filter_map(word).filter(|word| word != "help").collect()
}

#[test]
fn powershell_offers_every_command_and_option_of_the_help() {
    let place = Workplace::new();
    for program in ["train", "inspect"] {
        let run = |arguments: &[&str]| match program {
            "train" => place.train(arguments).out,
            _ => place.inspect(arguments).out,
        };
        let (script, help) = (run(&["completions", "powershell"]), run(&["--help"]));
        let commands = in_help(&help, "Commands");
        assert!(commands.len() > 5, "{help}");
        for command in &commands {
            assert!(offered_by_powershell(&script, &format!("{program} {command}")).contains(command), "{command}");
            for option in in_help(&run(&[command, "--help"]), "Options") {
                let offered = offered_by_powershell(&script, &format!("{program} {command} {option}"));
                assert!(offered.contains(&option), "{program} {command} {option}");
            }
        }
        for option in in_help(&help, "Options") {
            assert!(offered_by_powershell(&script, &format!("{program} {option}")).contains(&option), "{option}");
        }
        for (_, line, offered) in OFFERED.iter().filter(|(of, _, _)| *of == program) {
            assert_eq!(offered_by_powershell(&script, line), [*offered], "{line}");
        }
    }
}

/// Asks PowerShell as its Tab key does.
const POWERSHELL: &str = ". ./script.ps1; \
    (TabExpansion2 -inputScript $env:LINE -cursorColumn $env:LINE.Length).CompletionMatches.CompletionText";

#[test]
fn powershell_completes_commands_and_options() {
    if has("pwsh") {
        for (program, line, offered) in OFFERED {
            let place = Workplace::new();
            let shell = ["completions", "powershell"];
            let script = if program == "train" { place.train(&shell).out } else { place.inspect(&shell).out };
            fs::write(place.path("script.ps1"), script).unwrap();
            let mut command = Command::new("timeout");
            command.args(["60", "pwsh", "-NoProfile", "-Command", POWERSHELL]).env("LINE", line);
            let output = command.current_dir(place.path("")).output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!((String::from_utf8_lossy(&output.stdout).trim(), &*told), (offered, ""), "{line}");
        }
    }
}

#[test]
fn manual_pages_are_written_and_render_without_a_warning() {
    let place = Workplace::new();
    place.train(&["man", "man/man1"]).says(0, &[]);
    assert!(place.inspect(&["man", "man/man1"]).out.contains("`man inspect` shows the first"));
    let pages: Vec<_> = fs::read_dir(place.path("man/man1")).unwrap().map(|entry| entry.unwrap().path()).collect();
    for name in ["train.1", "train-find-lr.1", "inspect.1", "inspect-watch.1"] {
        assert!(pages.iter().any(|page| page.ends_with(name)), "{name}");
    }
    if has("man") && has("groff") {
        pages.iter().for_each(|page| render(page));
        let mut groff = Command::new("groff");
        let output = groff.args(["-ww", "-z", "-man", "-Tutf8", "-Kutf8"]).args(&pages).output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    fs::write(place.path("file"), "").unwrap();
    place.train_refuses(&["man", "file/man1"], &["file/man1 cannot be written", "choose another folder"]);
}

fn render(page: &Path) {
    let mut man = Command::new("man");
    let output =
        man.args(["--warnings", "-l"]).arg(page).env("MANWIDTH", "80").env("LC_ALL", "C.UTF-8").output().unwrap();
    let (text, warnings) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && warnings.is_empty(), "{}: {warnings}", page.display());
    assert!(text.contains("SYNOPSIS") && text.contains("OPTIONS"), "{}: {text}", page.display());
}

#[test]
fn the_help_of_both_programs_fits_a_screen_and_has_examples_first() {
    for program in [TRAIN, INSPECT] {
        let output = Command::new(program).arg("--help").env("COLUMNS", "80").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text.lines().count();
        assert!(lines <= 60, "{program}: {lines} lines\n{text}");
        let (examples, options) = (text.find("Examples:"), text.find("Options:"));
        assert!(examples < options && examples.is_some(), "{text}");
    }
}
