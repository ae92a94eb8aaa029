//! One operation of a pickle, of protocols 0 to 5.

use super::global::global;
use super::invalid;
use super::machine::{Machine, Step, whole};
use super::value::Value;

impl<'a> Machine<'a> {
    /// Does one operation; gives the result when it stops.
    pub(super) fn step(&mut self) -> Step<Option<Value<'a>>> {
        let operation = self.number(1)? as u8;
        match operation {
            // PROTO and FRAME
            0x80 => match self.number(1)? {
                0..=5 => {}
                version => return Err(invalid(format!("protocol {version}, expected up to 5"))),
            },
            0x95 => {
                self.number(8)?;
            }
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => self.pop_or_mark()?,
            b'1' => {
                self.since_mark()?;
            }
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            b'I' => {
                let line = self.line()?;
                self.stack.push(match line {
                    "00" => Value::Bool(false),
                    "01" => Value::Bool(true),
                    number => whole(number),
                });
            }
            b'L' => {
                let line = self.line()?;
                self.stack.push(whole(line.strip_suffix('L').unwrap_or(line)));
            }
            b'F' => self.skip_line_as_opaque()?,
            b'J' => {
                let number = self.number(4)? as u32 as i32;
                self.stack.push(Value::Int(number.into()));
            }
            b'K' => self.push_number(1)?,
            b'M' => self.push_number(2)?,
            0x8a => self.push_long(1)?,
            0x8b => self.push_long(4)?,
            b'G' => self.push_opaque(8)?,
            // Texts of Python 2 and bytes; a line of protocol 0 is text if nothing in it is escaped.
            b'S' => {
                let line = self.line()?;
                let quoted = ['\'', '"'].iter().find_map(|&quote| {
                    line.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote))
                });
                self.push_line(quoted.ok_or_else(|| invalid("a text without quotes"))?)?;
            }
            b'V' => {
                let line = self.line()?;
                self.push_line(line)?;
            }
            b'T' => self.push_bytes(4, true)?,
            b'U' => self.push_bytes(1, true)?,
            b'X' => self.push_text(4)?,
            0x8c => self.push_text(1)?,
            0x8d => self.push_text(8)?,
            b'B' => self.push_bytes(4, false)?,
            b'C' => self.push_bytes(1, false)?,
            0x8e | 0x96 => self.push_bytes(8, false)?,
            // Lists and tuples.
            b']' | b')' => self.push_sequence(Vec::new()),
            b'l' | b't' => {
                let items = self.since_mark()?;
                self.push_sequence(items);
            }
            0x85..=0x87 => {
                let mut items = Vec::with_capacity(3);
                for _ in 0x85..=operation {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.push_sequence(items);
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.since_mark()?;
                self.append(items)?;
            }
            // Mappings.
            b'}' => self.push_mapping(Vec::new()),
            b'd' => {
                let items = self.since_mark()?;
                self.push_mapping(paired(&items)?);
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(vec![(key, value)])?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set(paired(&items)?)?;
            }
            // Sets, which say nothing of weights.
            0x8f => self.stack.push(Value::Opaque),
            0x90 => {
                self.since_mark()?;
            }
            0x91 => {
                self.since_mark()?;
                self.stack.push(Value::Opaque);
            }
            // The memo.
            b'g' | b'p' => {
                let line = self.line()?;
                let key = line.parse().map_err(|_| invalid(format!("no memo `{line}`")))?;
                self.remember_or_recall(operation == b'p', key)?;
            }
            b'h' | b'q' => {
                let key = self.number(1)? as u32;
                self.remember_or_recall(operation == b'q', key)?;
            }
            b'j' | b'r' => {
                let key = self.number(4)? as u32;
                self.remember_or_recall(operation == b'r', key)?;
            }
            0x94 => {
                let key = self.memo.len() as u32;
                self.remember_or_recall(true, key)?;
            }
            // Names, and what would be done with them.
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push_global(module, name)?;
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => self.push_global(module, name)?,
                _ => return Err(invalid("a name that is no text")),
            },
            b'R' | 0x81 => {
                let arguments = self.pop()?;
                let callee = self.pop()?;
                self.push_call(callee, arguments)?;
            }
            0x92 => {
                let (_keywords, arguments) = (self.pop()?, self.pop()?);
                let callee = self.pop()?;
                self.push_call(callee, arguments)?;
            }
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                let callee = Value::Global(global(module, name, self.bytes)?);
                let arguments = self.since_mark()?;
                let arguments = self.objects.sequence(arguments);
                self.push_call(callee, arguments)?;
            }
            b'o' => {
                let mut items = self.since_mark()?;
                if items.is_empty() {
                    return Err(invalid("an object without a class"));
                }
                let callee = items.remove(0);
                let arguments = self.objects.sequence(items);
                self.push_call(callee, arguments)?;
            }
            b'b' => {
                let _state = self.pop()?;
                // Attributes, as `_metadata` of a state dict: nothing here has any.
                if matches!(self.top()?, Value::Global(_)) {
                    return Err(invalid("attributes of a class"));
                }
            }
            b'P' => {
                self.line()?;
                return Err(invalid("a storage named by a line of text"));
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.persistent(id)?;
                self.stack.push(storage);
            }
            other => {
                return Err(invalid(format!("no operation {other:#04x} is known")));
            }
        }
        Ok(None)
    }
}

/// Keys and values in turn.
fn paired<'a>(items: &[Value<'a>]) -> Step<Vec<(Value<'a>, Value<'a>)>> {
    match items.as_chunks::<2>() {
        (pairs, []) => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
        _ => Err(invalid("a key without a value")),
    }
}
