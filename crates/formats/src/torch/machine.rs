//! The machine that a pickle is a program for, without the means to call anything.
//!
//! Each operation takes at least one byte of the pickle and makes at most one object, and nothing
//! jumps or is copied: time and memory are linear in the pickle's length, whatever it says. There
//! is no recursion: objects are places in [`Objects`].

use super::global::global;
use super::invalid;
use super::value::{Objects, Value};
use crate::FormatError;
use std::collections::BTreeMap;

/// What a pickle leaves.
pub(super) struct Unpickled<'a> {
    pub(super) root: Value<'a>,
    pub(super) objects: Objects<'a>,
    /// Bytes read, up to and with the one that stops.
    pub(super) length: usize,
}

/// Runs the pickle that some bytes begin with.
///
/// # Errors
/// `Invalid` with the place for what is no pickle; `Unsupported` for what is refused.
pub(super) fn unpickle(bytes: &[u8]) -> Result<Unpickled<'_>, FormatError> {
    let mut machine = Machine {
        bytes,
        at: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: BTreeMap::new(),
        objects: Objects::default(),
    };
    loop {
        let at = machine.at;
        let stopped = machine.step().map_err(|error| match error {
            FormatError::Invalid { reason, .. } => {
                invalid(format!("its pickle is damaged at byte {at}: {reason}"))
            }
            other => other,
        })?;
        if let Some(root) = stopped {
            return Ok(Unpickled { root, objects: machine.objects, length: machine.at });
        }
    }
}

/// The state of a program.
pub(super) struct Machine<'a> {
    pub(super) bytes: &'a [u8],
    at: usize,
    pub(super) stack: Vec<Value<'a>>,
    /// Heights of the stack where a mark was set.
    pub(super) marks: Vec<usize>,
    pub(super) memo: BTreeMap<u32, Value<'a>>,
    pub(super) objects: Objects<'a>,
}

/// The result of a part of an operation.
pub(super) type Step<T> = Result<T, FormatError>;

impl<'a> Machine<'a> {
    /// So many bytes.
    pub(super) fn take(&mut self, n: u64) -> Step<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let taken = usize::try_from(n).ok().and_then(|n| rest.get(..n));
        let taken = taken.ok_or_else(|| {
            invalid(format!("{n} bytes are claimed where {} are left", rest.len()))
        })?;
        self.at += taken.len();
        Ok(taken)
    }

    /// An unsigned number of up to eight bytes.
    pub(super) fn number(&mut self, width: usize) -> Step<u64> {
        let bytes = self.take(width as u64)?;
        Ok(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// Text up to the end of its line.
    pub(super) fn line(&mut self) -> Step<&'a str> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&byte| byte == b'\n');
        let end = end.ok_or_else(|| invalid("a line does not end"))?;
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).map_err(|_| invalid("a line is not text"))
    }

    pub(super) fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn top(&self) -> Step<Value<'a>> {
        let top = self.stack.last().filter(|_| self.stack.len() > self.floor());
        top.copied().ok_or_else(|| invalid("nothing is on the stack"))
    }

    pub(super) fn pop(&mut self) -> Step<Value<'a>> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    pub(super) fn pop_or_mark(&mut self) -> Step<()> {
        if self.stack.len() == self.floor() && self.marks.pop().is_some() {
            return Ok(());
        }
        self.pop().map(drop)
    }

    pub(super) fn since_mark(&mut self) -> Step<Vec<Value<'a>>> {
        let mark = self.marks.pop().ok_or_else(|| invalid("no mark is set"))?;
        Ok(self.stack.drain(mark..).collect())
    }

    pub(super) fn push_number(&mut self, width: usize) -> Step<()> {
        let number = self.number(width)? as i64;
        self.stack.push(Value::Int(number));
        Ok(())
    }

    /// An integer in two's complement; of more than eight bytes, no size or offset.
    pub(super) fn push_long(&mut self, width: usize) -> Step<()> {
        let n = self.number(width)?;
        let bytes = self.take(n)?;
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        self.stack.push(match bytes.len() {
            0..=8 => {
                let start = if negative { -1 } else { 0 };
                let fold = |number: i64, &byte: &u8| number << 8 | i64::from(byte);
                Value::Int(bytes.iter().rev().fold(start, fold))
            }
            _ => Value::Opaque,
        });
        Ok(())
    }

    pub(super) fn push_opaque(&mut self, n: u64) -> Step<()> {
        self.take(n)?;
        self.stack.push(Value::Opaque);
        Ok(())
    }

    pub(super) fn skip_line_as_opaque(&mut self) -> Step<()> {
        self.line()?;
        self.stack.push(Value::Opaque);
        Ok(())
    }

    pub(super) fn push_line(&mut self, line: &'a str) -> Step<()> {
        self.stack.push(if line.contains('\\') { Value::Opaque } else { Value::Text(line) });
        Ok(())
    }

    pub(super) fn push_text(&mut self, width: usize) -> Step<()> {
        let n = self.number(width)?;
        let bytes = self.take(n)?;
        let text = std::str::from_utf8(bytes).map_err(|_| invalid("a text is not UTF-8"))?;
        self.stack.push(Value::Text(text));
        Ok(())
    }

    pub(super) fn push_bytes(&mut self, width: usize, as_text: bool) -> Step<()> {
        let n = self.number(width)?;
        let bytes = self.take(n)?;
        let text = std::str::from_utf8(bytes).ok().filter(|_| as_text);
        self.stack.push(text.map_or(Value::Opaque, Value::Text));
        Ok(())
    }

    pub(super) fn push_sequence(&mut self, items: Vec<Value<'a>>) {
        let sequence = self.objects.sequence(items);
        self.stack.push(sequence);
    }

    pub(super) fn push_mapping(&mut self, pairs: Vec<(Value<'a>, Value<'a>)>) {
        let mapping = self.objects.mapping(pairs);
        self.stack.push(mapping);
    }

    pub(super) fn push_global(&mut self, module: &'a str, name: &'a str) -> Step<()> {
        let global = global(module, name, self.bytes)?;
        self.stack.push(Value::Global(global));
        Ok(())
    }

    pub(super) fn push_call(&mut self, callee: Value<'a>, arguments: Value<'a>) -> Step<()> {
        let Value::Global(callee) = callee else {
            return Err(invalid("a call of what is no function"));
        };
        let made = self.call(callee, arguments)?;
        self.stack.push(made);
        Ok(())
    }

    pub(super) fn append(&mut self, items: Vec<Value<'a>>) -> Step<()> {
        match self.top()? {
            Value::Sequence(at) => self.objects.sequences[at as usize].extend(items),
            // A `deque` or a set.
            Value::Opaque => {}
            _ => return Err(invalid("items are added to what is no list")),
        }
        Ok(())
    }

    pub(super) fn set(&mut self, pairs: Vec<(Value<'a>, Value<'a>)>) -> Step<()> {
        match self.top()? {
            Value::Mapping(at) => self.objects.mappings[at as usize].extend(pairs),
            Value::Opaque => {}
            _ => return Err(invalid("entries are set of what is no dictionary")),
        }
        Ok(())
    }

    pub(super) fn remember_or_recall(&mut self, remember: bool, key: u32) -> Step<()> {
        if remember {
            let top = self.top()?;
            self.memo.insert(key, top);
        } else {
            let known = self.memo.get(&key).copied();
            self.stack.push(known.ok_or_else(|| invalid(format!("no memo {key} was made")))?);
        }
        Ok(())
    }
}

/// A whole number in text; one that is larger than any size says nothing of weights.
pub(super) fn whole(text: &str) -> Value<'_> {
    text.trim().parse().map_or(Value::Opaque, Value::Int)
}
