//! What a file would take once decoded, told before it is.
//!
//! A message of two bytes becomes a struct of some hundred, so that a small file of empty messages
//! would fill the memory. Only the fields that repeat a message or a text are counted.

use super::invalid;
use crate::FormatError;

/// Messages whose repeated fields cost more than their bytes.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Function,
    Type,
    Text,
    Pair,
    Other,
}

impl Kind {
    /// What lies in a length-delimited field, `None` if it is plain data.
    fn field(self, number: u64) -> Option<Kind> {
        Some(match (self, number) {
            (Kind::Model, 7) => Kind::Graph,
            (Kind::Model, 25) => Kind::Function,
            (Kind::Model, 8 | 14 | 26) => Kind::Pair,
            (Kind::Model, 20) => Kind::Other,
            (Kind::Graph, 1) | (Kind::Function, 7) => Kind::Node,
            (Kind::Graph, 5) => Kind::Tensor,
            (Kind::Graph, 11..=13) | (Kind::Function, 12) => Kind::Type,
            (Kind::Graph, 14..=16) => Kind::Other,
            (Kind::Function, 4..=6) => Kind::Text,
            (Kind::Function, 11) | (Kind::Node, 5) => Kind::Attribute,
            (Kind::Function, 9 | 14) => Kind::Pair,
            (Kind::Node, 1 | 2) => Kind::Text,
            (Kind::Node, 9 | 10) => Kind::Pair,
            (Kind::Attribute, 5 | 10) => Kind::Tensor,
            (Kind::Attribute, 6 | 11) => Kind::Graph,
            (Kind::Attribute, 9) => Kind::Text,
            (Kind::Attribute, 14 | 15 | 22 | 23) => Kind::Other,
            (Kind::Tensor, 6) => Kind::Text,
            (Kind::Tensor, 13 | 16) => Kind::Pair,
            (Kind::Type, _) | (Kind::Other, _) | (Kind::Pair, _) => Kind::Other,
            _ => return None,
        })
    }

    /// Bytes of the decoded struct, rounded up.
    fn size(self) -> usize {
        match self {
            Kind::Text => 32,
            Kind::Pair => 96,
            Kind::Type | Kind::Other => 192,
            Kind::Node | Kind::Function | Kind::Graph | Kind::Model => 384,
            Kind::Attribute | Kind::Tensor => 1024,
        }
    }
}

/// Times its own size that a file may take, beside what small ones may.
const EXPANSION: usize = 48;
const FREE: usize = 1 << 16;

/// Refuses bytes that would become far more than they are.
pub(super) fn check(bytes: &[u8]) -> Result<(), FormatError> {
    let mut budget = bytes.len().saturating_mul(EXPANSION).saturating_add(FREE);
    walk(bytes, Kind::Model, 0, &mut budget)
}

fn walk(mut bytes: &[u8], kind: Kind, depth: usize, budget: &mut usize) -> Result<(), FormatError> {
    // The decoder refuses what is deeper.
    if depth > 100 {
        return Err(invalid("its messages are nested too deeply"));
    }
    while !bytes.is_empty() {
        // Whatever is malformed is for the decoder to say.
        let Some(key) = varint(&mut bytes) else { return Ok(()) };
        let skipped = match key & 7 {
            0 => varint(&mut bytes).map(|_| 0),
            1 => Some(8),
            2 => {
                let Some(length) = varint(&mut bytes).and_then(|n| usize::try_from(n).ok()) else {
                    return Ok(());
                };
                let Some(body) = bytes.get(..length) else { return Ok(()) };
                if let Some(inner) = kind.field(key >> 3) {
                    *budget = budget.checked_sub(inner.size()).ok_or_else(|| {
                        invalid("it has far more parts than its bytes can describe")
                    })?;
                    if !matches!(inner, Kind::Text) && may_be_message(inner, body) {
                        walk(body, inner, depth + 1, budget)?;
                    }
                }
                Some(length)
            }
            5 => Some(4),
            _ => return Ok(()),
        };
        let Some(rest) = skipped.and_then(|n| bytes.get(n..)) else { return Ok(()) };
        bytes = rest;
    }
    Ok(())
}

/// A text looks like fields at most for a few bytes; what is known to be a message is walked.
fn may_be_message(kind: Kind, body: &[u8]) -> bool {
    !matches!(kind, Kind::Other) || body.first().is_some_and(|&byte| byte >> 3 != 0)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if shift < 64 {
            value |= u64::from(byte & 0x7f) << shift;
        }
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
