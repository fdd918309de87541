//! Shows an execution: bars on a terminal, a line a stage elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::progress::Progress;
use crate::store::{Artifact, Token};
use crate::study::{Node, Watcher};

/// Prints to standard error, so that standard output holds only results.
pub struct Terminal {
    bars: Option<MultiProgress>,
    quiet: bool,
    total: usize,
    done: AtomicUsize,
}

impl Terminal {
    /// For `total` stages; shows nothing if `quiet`.
    pub fn new(total: usize, quiet: bool) -> Self {
        let bars = (!quiet && std::io::stderr().is_terminal()).then(MultiProgress::new);
        Self { bars, quiet, total, done: AtomicUsize::new(0) }
    }

    /// A bar for the work called `label`.
    pub fn bar(&self, label: &str) -> Box<dyn Progress + '_> {
        match &self.bars {
            Some(bars) => {
                let bar = bars.add(ProgressBar::new(0));
                bar.set_prefix(label.to_owned());
                bar.enable_steady_tick(Duration::from_millis(250));
                Box::new(Bar { bar, terminal: self })
            }
            None => Box::new(Notes { label: label.to_owned(), terminal: self }),
        }
    }

    /// Prints a line above the bars.
    pub fn line(&self, text: &str) {
        match (&self.bars, self.quiet) {
            (_, true) => {}
            (Some(bars), _) => {
                let _ = bars.println(text);
            }
            (None, _) => {
                let _ = writeln!(std::io::stderr(), "{text}");
            }
        }
    }
}

/// Notes only, for where there is no terminal.
struct Notes<'a> {
    label: String,
    terminal: &'a Terminal,
}

impl Progress for Notes<'_> {
    fn start(&self, _total: u64, _what: &str) {}
    fn advance(&self, _done: u64, _message: &str) {}
    fn note(&self, text: &str) {
        self.terminal.line(&format!("{}: {text}", self.label));
    }
    fn finish(&self) {}
}

struct Bar<'a> {
    bar: ProgressBar,
    terminal: &'a Terminal,
}

impl Progress for Bar<'_> {
    fn start(&self, total: u64, what: &str) {
        let template = match (total, what) {
            (0, _) => "{prefix:.bold} {spinner} {pos} {wide_msg}",
            (_, "bytes") => "{prefix:.bold} {bar:24} {bytes}/{total_bytes} {bytes_per_sec} {eta} {wide_msg}",
            // A training's own message says how fast it is and how long it takes.
            (_, "steps") => "{prefix:.bold} {bar:24} {pos}/{len} {wide_msg}",
            _ => "{prefix:.bold} {bar:24} {pos}/{len} {per_sec} {eta} {wide_msg}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bar.set_style(style);
        self.bar.set_length(total);
        self.bar.set_message(what.to_owned());
    }

    fn advance(&self, done: u64, message: &str) {
        self.bar.set_position(done);
        if !message.is_empty() {
            self.bar.set_message(message.to_owned());
        }
    }

    fn note(&self, text: &str) {
        self.terminal.line(&format!("{}: {text}", self.bar.prefix()));
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Watcher for Terminal {
    fn begin(&self, node: &Node) -> Box<dyn Progress + '_> {
        self.bar(&node.label.to_string())
    }

    fn elsewhere(&self, node: &Node, holder: &Token) {
        self.line(&format!("{}: process {} on {} works on it", node.label, holder.pid, holder.host));
    }

    fn late(&self, node: &Node, took: Duration) {
        let seconds = took.as_secs_f64();
        self.line(&format!("{}: made in {seconds:.1} s for nothing, another process was first", node.label));
    }

    fn end(&self, node: &Node, artifact: &Artifact, took: Option<Duration>) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(took) = took {
            let rows: u64 = artifact.manifest.files.iter().filter_map(|file| file.rows).sum();
            let rows = if rows > 0 { format!(", {rows} rows") } else { String::new() };
            self.line(&format!("[{done}/{}] {} {:.1} s{rows}", self.total, node.label, took.as_secs_f64()));
        }
    }
}
