//! Weights as `torch.save` writes them: `.pt`, `.pth`, `.bin`, `.ckpt`.
//!
//! Such a file is a program for Python's unpickler, which may call anything that Python can. Here
//! the program runs on a machine that can call nothing: it knows tensors, storages, numbers, text
//! and plain containers, and refuses every other name in a sentence that says it.
//!
//! Both containers are read: the zip archive (`data.pkl` beside a member for each storage), and the
//! one before PyTorch 1.6 (five pickles, then the storages).

mod call;
mod container;
mod global;
mod machine;
mod state;
mod step;
mod value;
mod view;

use crate::FormatError;
use container::Container;
use thalweg_array::Array;

pub use container::is_torch;

const FORMAT: &str = "PyTorch";

fn invalid(reason: impl Into<String>) -> FormatError {
    FormatError::Invalid { format: FORMAT, reason: reason.into() }
}

fn refused(what: &str) -> FormatError {
    FormatError::Unsupported { format: FORMAT, what: what.into() }
}

/// The tensors of a state dict, in its order, each of the type that
/// [`crate::ElementKind::dtype`] says: halves as `f32`, small integers as `i32`.
///
/// The state dict is the whole file, or lies in a checkpoint under one of the usual keys
/// (`state_dict`, `model_state_dict`, `model`, `module`, `net`, ...), or is the one dictionary of
/// tensors that there is. Entries that are no tensors are left aside. Tensors may share storages and
/// be views of any strides; two names of one tensor share its memory.
///
/// # Errors
/// `Invalid` for what is no such file or lies of its sizes; `Unsupported` for a file that asks for
/// anything but tensors and plain containers (nothing in a file is ever run), for several state
/// dicts, and for elements that are not read: complex, quantised, of eight bits.
pub fn read(bytes: &[u8]) -> Result<Vec<(String, Array)>, FormatError> {
    let mut container = Container::open(bytes)?;
    let pickle = std::mem::take(&mut container.pickle);
    let unpickled = machine::unpickle(&pickle)?;
    container.expect(&unpickled)?;
    let named = state::find(&unpickled)?;
    view::arrays(&named, &unpickled.objects, &mut container)
}
