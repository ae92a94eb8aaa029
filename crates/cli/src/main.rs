//! The `thalweg` command: from the command line to a study, from its outcome to the terminal.

mod arguments;
mod command;
mod comparison;
mod describe;
mod figures;
mod papers;
mod request;
mod summary;
mod table;

use arguments::{Arguments, Command, Everywhere};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use command::Done;
use std::env;
use std::io::{self, Write, stderr, stdout};
use std::process::ExitCode;
use std::time::Instant;
use thalweg_lab::{LabError, VERSION};
use thalweg_record::reply::{ErrorReply, Reply};

fn main() -> ExitCode {
    let begun = Instant::now();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return unparsed(&error),
    };
    let everywhere = &arguments.everywhere;
    match command::run(&arguments) {
        Ok(Done { run, recomputed_flops, body }) => {
            let seconds = begun.elapsed().as_secs_f64();
            let version = VERSION.to_owned();
            let reply = Reply { version, run, seconds, recomputed_flops, body };
            let text = match everywhere.json {
                true => reply.to_json() + "\n",
                false => summary::text(&reply),
            };
            let printed = print(&text);
            match reply.body.failure() {
                None => printed,
                Some(failure) => {
                    let _ = writeln!(stderr(), "thalweg: {failure}");
                    ExitCode::FAILURE
                }
            }
        }
        Err(error) => failed(&arguments.command, everywhere, &error),
    }
}

/// Help and versions go to stdout; faults are told in one sentence and, with `--json`, as an
/// object.
fn unparsed(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => return print(&text),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = stderr().write_all(text.as_bytes());
            return ExitCode::from(2);
        }
        _ => {}
    }
    let words: Vec<String> =
        env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let commands = Arguments::command();
    let known = |word: &&String| commands.find_subcommand(word.as_str()).is_some();
    let command = words.iter().find(known).map_or("", String::as_str);
    let mut sentence = sentence(&text);
    let unknown = matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand);
    if unknown && !sentence.contains("similar") {
        sentence += "; --help lists what there is";
    }
    if words.iter().any(|word| word == "--json") {
        print_error(command, &sentence);
    }
    let _ = writeln!(stderr(), "thalweg: {sentence}");
    ExitCode::from(2)
}

/// The first paragraph of a message, which says what is wrong, and its tips in one line; what is
/// left out is for those who ask for --help.
fn sentence(text: &str) -> String {
    let in_line = |paragraph: &str| paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut paragraphs = text.split("\n\n").map(in_line);
    let first = paragraphs.next().unwrap_or_default();
    let mut sentence = first.trim_start_matches("error: ").to_owned();
    for tip in paragraphs.filter_map(|text| text.strip_prefix("tip: ").map(str::to_owned)) {
        sentence += &format!("; {tip}");
    }
    sentence
}

fn failed(command: &Command, everywhere: &Everywhere, error: &LabError) -> ExitCode {
    if everywhere.json {
        print_error(command.name(), &error.sentence());
    }
    let _ = writeln!(stderr(), "thalweg: {}", error.text());
    ExitCode::from(error.exit_code())
}

fn print_error(command: &str, sentence: &str) {
    let reply = ErrorReply {
        command: command.to_owned(),
        version: VERSION.to_owned(),
        error: sentence.to_owned(),
    };
    // The exit code is that of the first error, whether it can be printed or not.
    let _ = print(&(reply.to_json() + "\n"));
}

/// Writes to stdout. That nobody reads it any more is no fault, that it cannot be written is one.
fn print(text: &str) -> ExitCode {
    match stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(stderr(), "thalweg: stdout: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_the_command_line_is_one_sentence() {
        let message = |words: &[&str]| {
            let error = Arguments::try_parse_from(words).unwrap_err();
            sentence(&error.render().to_string())
        };
        assert_eq!(
            message(&["thalweg", "train", "--stps", "3"]),
            "unexpected argument '--stps' found; a similar argument exists: '--steps'"
        );
        assert_eq!(
            message(&["thalweg", "completions", "tcsh"]),
            "invalid value 'tcsh' for '<SHELL>' [possible values: bash, elvish, fish, powershell, \
             zsh]; a similar value exists: 'zsh'"
        );
    }
}
