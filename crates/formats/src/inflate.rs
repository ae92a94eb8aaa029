//! Reading as much as was claimed, and not more.

use crate::FormatError;
use std::io::Read;

/// The most that deflate can expand data, times their size (RFC 1951 codes at best 258 bytes in
/// two bits).
const MAX_RATIO: u64 = 1032;

/// Whether so many compressed bytes can hold so many.
pub(crate) fn is_possible(compressed: u64, claimed: u64) -> bool {
    claimed <= compressed.saturating_mul(MAX_RATIO)
}

/// Appends exactly `n` bytes.
///
/// # Errors
/// `reason` of what is missing if the reader ends early or fails; no room.
pub(crate) fn read_exactly(
    reader: &mut impl Read,
    n: usize,
    out: &mut Vec<u8>,
    format: &'static str,
) -> Result<(), FormatError> {
    let invalid = |reason: String| FormatError::Invalid { format, reason };
    out.try_reserve_exact(n).map_err(|_| invalid(format!("no room for the {n} bytes claimed")))?;
    let got = reader
        .take(n as u64)
        .read_to_end(out)
        .map_err(|error| invalid(format!("its data cannot be read: {error}")))?;
    if got != n {
        return Err(invalid(format!("it claims {n} bytes of data and holds {got}")));
    }
    Ok(())
}

/// Checks that nothing follows, which also makes the reader verify its check sum.
pub(crate) fn expect_end(reader: &mut impl Read, format: &'static str) -> Result<(), FormatError> {
    let reason = match reader.read(&mut [0]) {
        Ok(0) => return Ok(()),
        Ok(_) => "it holds more data than it claims".into(),
        Err(error) => format!("its data cannot be read: {error}"),
    };
    Err(FormatError::Invalid { format, reason })
}
