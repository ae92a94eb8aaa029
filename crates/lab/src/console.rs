//! Progress on stderr.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write, stderr};
use std::sync::{Mutex, PoisonError};
use thalweg_methods::Progress;

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verbosity {
    /// Nothing.
    Quiet,
    /// A line for each part of the work.
    #[default]
    Plain,
    /// A bar for each part of the work, if stderr is a terminal; else plain lines.
    Bars,
}

/// Where progress and messages go: stderr, never stdout.
#[derive(Debug, Default)]
pub struct Console {
    verbosity: Verbosity,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bar: Option<ProgressBar>,
    /// What the parts that begin now belong to.
    about: String,
    /// The last line, so that a part in many pieces is said once.
    said: String,
}

impl Console {
    /// A console that says so much, as far as stderr can show it.
    pub fn new(verbosity: Verbosity) -> Console {
        let verbosity = match verbosity {
            Verbosity::Bars if !stderr().is_terminal() => Verbosity::Plain,
            other => other,
        };
        Console { verbosity, state: Mutex::default() }
    }

    /// Says in front of each part what it belongs to, as a model's name.
    pub fn about(&self, what: &str) {
        self.state().about = what.to_owned();
    }

    /// Says below the bar what was last read; nothing if there is no bar or nothing was read.
    pub fn note(&self, text: &str) {
        match &self.state().bar {
            Some(bar) if !text.is_empty() => {
                restyle(bar, &format!("{BAR}\n{{wide_msg}}"));
                bar.set_message(text.to_owned());
            }
            _ => {}
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = self.state().bar.take() {
            bar.finish_and_clear();
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, text: &str) {
        if self.verbosity != Verbosity::Quiet {
            // A closed stderr is no reason to stop working.
            let _ = writeln!(stderr(), "{text}");
        }
    }
}

/// A part of the work, how far it is, and how long it takes from here.
const BAR: &str = "{prefix:40!} [{bar:30}] {pos}/{len} {eta}";

fn restyle(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
}

impl Progress for Console {
    fn start(&self, what: &str, total: u64) {
        let mut state = self.state();
        let text = match state.about.as_str() {
            "" => what.to_owned(),
            about => format!("{about}: {what}"),
        };
        match self.verbosity {
            Verbosity::Quiet => {}
            Verbosity::Plain if state.said == text => {}
            Verbosity::Plain => {
                self.line(&text);
                state.said = text;
            }
            Verbosity::Bars => {
                if let Some(bar) = state.bar.take() {
                    bar.finish_and_clear();
                }
                let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
                restyle(&bar, BAR);
                bar.set_prefix(text);
                bar.tick();
                state.bar = Some(bar);
            }
        }
    }

    fn advance(&self, n: u64) {
        if let Some(bar) = &self.state().bar {
            bar.inc(n);
        }
    }

    fn message(&self, text: &str) {
        match &self.state().bar {
            Some(bar) => bar.println(text),
            None => self.line(text),
        }
    }
}
