//! What a step does, in one line, for profiles.

use super::{Kernel, Step};
use crate::kernel::Pass;
use std::fmt::{Display, Formatter, Result};

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.kernel {
            Kernel::Loop(body) => {
                let extents = |outer: &[usize], last: usize| {
                    outer.iter().chain([&last]).map(usize::to_string).collect::<Vec<_>>().join("x")
                };
                write!(f, "loop {}", extents(&body.outer, body.o))?;
                if !body.folds.is_empty() {
                    write!(f, " reduced {}", extents(&body.r_outer, body.r))?;
                }
                write!(
                    f,
                    " inner {}: {} loads, {} operations, {} stores, {} folds",
                    body.i,
                    body.loads.len(),
                    body.code.len() - body.loads.len(),
                    body.stores.len(),
                    body.folds.len()
                )
            }
            Kernel::Product { prepared, .. } => {
                let p = prepared.product();
                let batch: Vec<String> = p.batch.iter().map(|b| b.extent.to_string()).collect();
                write!(f, "product {}x{}x{}", p.m, p.k, p.n)?;
                match batch.is_empty() {
                    true => Ok(()),
                    false => write!(f, ", batch {}", batch.join("x")),
                }
            }
            Kernel::Convolution { pass, convolution: c, shared, .. } => {
                let name = match pass {
                    Pass::Forward => "convolution",
                    Pass::InputGradient => "convolution, input gradient",
                    Pass::WeightGradient => "convolution, weight gradient",
                };
                write!(
                    f,
                    "{name}: {}x{}x{}x{} -> {}, kernel {}x{}, stride {}",
                    c.n, c.h, c.w, c.cin, c.cout, c.kh, c.kw, c.stride[0]
                )?;
                if c.groups > 1 {
                    write!(f, ", {} groups", c.groups)?;
                }
                if c.population > 1 {
                    let whose = |shared: &bool| if *shared { "shared" } else { "own" };
                    write!(f, ", {} members", c.population)?;
                    write!(f, " ({} and {})", whose(&shared[0]), whose(&shared[1]))?;
                }
                Ok(())
            }
            Kernel::Plain(plain) => {
                write!(f, "{}", plain.op.name())?;
                let types = plain.outputs.iter().map(|(_, ty)| ty);
                types.into_iter().try_for_each(|ty| write!(f, " {ty}"))
            }
            Kernel::Scan(loops) => write!(f, "scan of {} steps", loops.scan.length),
            Kernel::While(_) => write!(f, "while"),
        }
    }
}
