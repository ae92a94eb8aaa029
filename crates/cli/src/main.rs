//! The `thalweg` command: from the command line to a study, from its outcome to the terminal.

mod arguments;
mod command;
mod figures;
mod request;
mod summary;

use arguments::{Arguments, Command, Everywhere};
use clap::Parser;
use clap::error::ErrorKind;
use command::Done;
use std::env;
use std::io::{Write, stderr, stdout};
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
        Ok(Done::Result { run, body }) => {
            let seconds = begun.elapsed().as_secs_f64();
            let reply = Reply { version: VERSION.to_owned(), run, seconds, body };
            let text = match everywhere.json {
                true => reply.to_json() + "\n",
                false => summary::text(&reply),
            };
            print(text.as_bytes());
            ExitCode::SUCCESS
        }
        Ok(Done::Text(text)) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => failed(&arguments.command, everywhere, &error),
    }
}

/// Help and versions go to stdout; faults are told in one sentence and, with `--json`, as an
/// object.
fn unparsed(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        print(error.render().to_string().as_bytes());
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    if env::args().any(|argument| argument == "--json") {
        let known = ["map", "train", "surface", "spectrum", "data", "export", "completions"];
        let command = env::args().skip(1).find(|argument| known.contains(&argument.as_str()));
        // The first paragraph says what is wrong; the rest is advice for a person.
        let first = text.split("\n\n").next().unwrap_or_default();
        let words: Vec<&str> = first.trim_start_matches("error: ").split_whitespace().collect();
        print_error(&command.unwrap_or_default(), &words.join(" "));
    }
    let _ = stderr().write_all(text.as_bytes());
    ExitCode::from(2)
}

fn failed(command: &Command, everywhere: &Everywhere, error: &LabError) -> ExitCode {
    let sentence = error.sentence();
    if everywhere.json {
        print_error(command.name(), &sentence);
    }
    let _ = writeln!(stderr(), "thalweg: {sentence}");
    ExitCode::from(error.exit_code())
}

fn print_error(command: &str, sentence: &str) {
    let reply = ErrorReply {
        command: command.to_owned(),
        version: VERSION.to_owned(),
        error: sentence.to_owned(),
    };
    print((reply.to_json() + "\n").as_bytes());
}

/// Writes to stdout; that nobody reads it any more is no fault.
fn print(text: &[u8]) {
    let _ = stdout().write_all(text).and_then(|()| stdout().flush());
}
