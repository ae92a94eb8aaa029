//! Where pickle and storages lie: in a zip archive, or one after the other.

use super::machine::{Unpickled, unpickle};
use super::value::{Elements, Storage, Value};
use super::{FORMAT, invalid, refused};
use crate::FormatError;
use crate::archive::{self, Archive};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// What an older file begins with, after the two bytes of the protocol: the pickle of the number
/// 0x1950a86a20f9469cfc6c.
const OLD_MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
/// What a pickle begins with, before its protocol.
const PICKLE: u8 = 0x80;
/// `torch.save` compresses nothing. What was packed again may unpack to so many times the file.
const MOST_UNPACKED: u64 = 64;

/// Whether bytes look like a file of `torch.save`, or at least like a pickle.
pub fn is_torch(bytes: &[u8]) -> bool {
    if bytes.starts_with(archive::MAGIC) {
        let archive = Archive::open(bytes, FORMAT);
        return archive.is_ok_and(|archive| pickle_member(&archive).is_some());
    }
    matches!(bytes, [PICKLE, 0..=5, ..])
}

/// A file, taken apart.
pub(super) struct Container<'a> {
    /// The pickle of the object.
    pub(super) pickle: Cow<'a, [u8]>,
    pub(super) big_endian: bool,
    storages: Storages<'a>,
}

enum Storages<'a> {
    /// Members of an archive, below a folder.
    Zip(Archive<'a>, String),
    /// What follows the pickle, and where each storage lies in it, once that is known.
    Old(&'a [u8], BTreeMap<String, Range<usize>>),
}

/// The place of the pickle in an archive, and the folder that it is in, with its slash.
fn pickle_member(archive: &Archive<'_>) -> Option<(usize, String)> {
    archive.members().iter().enumerate().find_map(|(index, member)| {
        let folder = member.name.strip_suffix("data.pkl")?;
        (folder.is_empty() || folder.ends_with('/')).then(|| (index, folder.to_string()))
    })
}

impl<'a> Container<'a> {
    /// Finds the parts of a file.
    ///
    /// # Errors
    /// `Invalid` for other files, and for archives that unpack to much more than they are.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Container<'a>, FormatError> {
        match bytes {
            [PICKLE, _, rest @ ..] => Container::old(bytes, rest),
            _ if bytes.starts_with(archive::MAGIC) => Container::zip(bytes),
            _ => {
                Err(invalid("it is neither a zip archive nor a pickle, as torch.save writes them"))
            }
        }
    }

    fn zip(bytes: &'a [u8]) -> Result<Container<'a>, FormatError> {
        let mut archive = Archive::open(bytes, FORMAT)?;
        let (index, folder) = pickle_member(&archive)
            .ok_or_else(|| invalid("the archive has no data.pkl: torch.save did not write it"))?;
        let unpacked = archive.members().iter().fold(0u64, |n, m| n.saturating_add(m.size));
        let got = bytes.len() as u64;
        if unpacked > got.saturating_mul(MOST_UNPACKED) {
            return Err(invalid(format!(
                "its members would unpack to {unpacked} bytes, more than {MOST_UNPACKED} times the \
                 file of {got}; torch.save compresses nothing"
            )));
        }
        if archive.find(&format!("{folder}constants.pkl")).is_some() {
            return Err(refused(
                "it holds a TorchScript program, which is not run; save the weights alone: \
                 torch.save(model.state_dict(), \"weights.pt\")",
            ));
        }
        let order = match archive.find(&format!("{folder}byteorder")) {
            Some(index) => archive.read(index, "its byteorder")?,
            None => b"little".to_vec(),
        };
        let big_endian = match order.trim_ascii() {
            b"little" => false,
            b"big" => true,
            _ => return Err(invalid("its byteorder is neither little nor big")),
        };
        let pickle = Cow::Owned(archive.read(index, "its data.pkl")?);
        Ok(Container { pickle, big_endian, storages: Storages::Zip(archive, folder) })
    }

    fn old(bytes: &'a [u8], rest: &'a [u8]) -> Result<Container<'a>, FormatError> {
        let Some(mut rest) = rest.strip_prefix(OLD_MAGIC) else {
            // A name that it asks for is worth more than that the container is unknown.
            unpickle(bytes)?;
            return Err(invalid(
                "it is a pickle, but not one that torch.save wrote; give a file of \
                 torch.save(model.state_dict(), \"weights.pt\")",
            ));
        };
        let mut next = || -> Result<Unpickled<'a>, FormatError> {
            let unpickled = unpickle(rest)?;
            rest = &rest[unpickled.length..];
            Ok(unpickled)
        };
        let version = next()?.root;
        if version != Value::Int(1001) {
            return Err(invalid("its protocol is not 1001"));
        }
        let system = next()?;
        let little = system.objects.get(system.root, "little_endian");
        Ok(Container {
            pickle: Cow::Borrowed(rest),
            big_endian: little == Some(Value::Bool(false)),
            storages: Storages::Old(rest, BTreeMap::new()),
        })
    }

    /// Checks what is outside of the pickle against what the pickle says, before any storage is
    /// asked for.
    ///
    /// # Errors
    /// `Invalid` for storages that an older file does not have, or not in the size that it claims.
    pub(super) fn expect(&mut self, unpickled: &Unpickled<'_>) -> Result<(), FormatError> {
        let Storages::Old(rest, places) = &mut self.storages else { return Ok(()) };
        let known: BTreeMap<&str, &Storage<'_>> =
            unpickled.objects.storages.iter().map(|storage| (storage.key, storage)).collect();
        let mut at = unpickled.length;
        let keys = unpickle(&rest[at..])?;
        at += keys.length;
        let listed = keys.objects.items(keys.root);
        let listed = listed.ok_or_else(|| invalid("it has no list of storages"))?;
        for &key in listed {
            let Value::Text(key) = key else {
                return Err(invalid("a storage is named by what is no text"));
            };
            let storage = known
                .get(key)
                .ok_or_else(|| invalid(format!("its storage `{key}` belongs to no tensor")))?;
            let count =
                rest.get(at..).and_then(|rest| rest.first_chunk()).map(|b| u64::from_le_bytes(*b));
            if count != Some(storage.count) {
                let claimed = storage.count;
                return Err(invalid(format!(
                    "storage `{key}` should have {claimed} elements, and the file has another \
                     number"
                )));
            }
            let Some(size) = size_in_bytes(storage) else {
                return Err(refused(&format!("storage `{key}` has elements that are not read")));
            };
            at += 8;
            let end = usize::try_from(size).ok().and_then(|size| at.checked_add(size));
            let end = end.filter(|&end| end <= rest.len()).ok_or_else(|| {
                let left = rest.len() - at;
                invalid(format!("storage `{key}` claims {size} bytes where {left} are left"))
            })?;
            if places.insert(key.to_string(), at..end).is_some() {
                return Err(invalid(format!("storage `{key}` comes twice")));
            }
            at = end;
        }
        if at != rest.len() {
            let after = rest.len() - at;
            return Err(invalid(format!("{after} bytes follow after its last storage")));
        }
        Ok(())
    }

    /// The size of a storage in bytes, which is known to be there.
    ///
    /// # Errors
    /// `Invalid` if it is not there or has fewer elements than it claims.
    pub(super) fn size(&self, storage: &Storage<'_>) -> Result<u64, FormatError> {
        let key = storage.key.escape_debug();
        let got = match &self.storages {
            Storages::Zip(archive, folder) => {
                let index = archive.find(&format!("{folder}data/{}", storage.key));
                index.and_then(|index| archive.members().get(index)).map(|member| member.size)
            }
            Storages::Old(_, places) => places.get(storage.key).map(|place| place.len() as u64),
        };
        let got = got.ok_or_else(|| invalid(format!("storage `{key}` is not in it")))?;
        match size_in_bytes(storage) {
            Some(claimed) if claimed <= got => Ok(claimed),
            _ => Err(invalid(format!(
                "storage `{key}` claims {} elements, and has {got} bytes",
                storage.count
            ))),
        }
    }

    /// The bytes of a storage, whose [`Container::size`] is right.
    ///
    /// # Errors
    /// `Invalid` if they are damaged.
    pub(super) fn bytes(&mut self, storage: &Storage<'_>) -> Result<Cow<'a, [u8]>, FormatError> {
        let what = format!("storage `{}`", storage.key.escape_debug());
        let missing = || invalid(format!("{what} is not in it"));
        match &mut self.storages {
            Storages::Zip(archive, folder) => {
                let index = archive.find(&format!("{folder}data/{}", storage.key));
                Ok(Cow::Owned(archive.read(index.ok_or_else(missing)?, &what)?))
            }
            Storages::Old(rest, places) => {
                let place = places.get(storage.key).cloned().ok_or_else(missing)?;
                Ok(Cow::Borrowed(rest.get(place).ok_or_else(missing)?))
            }
        }
    }
}

/// The size that a storage claims; none if it overflows or the elements are not known.
fn size_in_bytes(storage: &Storage<'_>) -> Option<u64> {
    match storage.elements {
        Elements::Known(kind) => storage.count.checked_mul(kind.size() as u64),
        Elements::Bytes => Some(storage.count),
        Elements::Other(_) => None,
    }
}
