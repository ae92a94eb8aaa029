//! A compiled graph, to be run many times.

use crate::error::ExecError;
use crate::kernel::{Float, Pool};
use crate::plain::{self, Slot};
use crate::plan::view::BufferId;
use crate::plan::{Home, Kernel, Loops, Plan, Step, WhileLoop};
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use thalweg_graph::{Array, DType, Graph, TensorType};

/// Bytes that a program needs, known before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Working memory: intermediate values and kernels' scratch, reused by liveness.
    pub working: usize,
    /// Arrays passed in.
    pub inputs: usize,
    /// Arrays given back, but for those that may take over an input's place.
    pub outputs: usize,
    /// Literals.
    pub constants: usize,
}

impl Memory {
    /// What a plan of a graph needs.
    pub(crate) fn of(graph: &Graph, plan: &Plan) -> Memory {
        let fresh = graph.output_types().zip(&plan.donors).filter(|(_, donor)| donor.is_none());
        Memory {
            working: plan.arena_bytes,
            inputs: graph.inputs().map(|port| port.ty.size_in_bytes()).sum(),
            outputs: fresh.map(|(ty, _)| ty.size_in_bytes()).sum(),
            constants: plan.constants.iter().map(|array| array.size_in_bytes()).sum(),
        }
    }

    /// Everything together: the peak while the program runs.
    pub fn peak(&self) -> usize {
        self.working + self.inputs + self.outputs + self.constants
    }
}

/// Is told what each step of a program was, once it is done.
pub type Watch<'w> = dyn FnMut(&dyn std::fmt::Display) + 'w;

type Tell<'w> = dyn Fn(&Step) + 'w;

/// A compiled graph.
pub struct Program {
    pool: Arc<Pool>,
    plan: Plan,
    memory: Memory,
    inputs: Vec<(String, TensorType)>,
    outputs: Vec<TensorType>,
    /// Working memory of the last run, for the next.
    arena: Mutex<Option<Array>>,
    /// What runs of the executor's programs have computed again, in floating-point operations.
    again: Arc<AtomicU64>,
}

impl Program {
    pub(crate) fn new(
        graph: &Graph,
        plan: Plan,
        pool: &Arc<Pool>,
        again: &Arc<AtomicU64>,
    ) -> Program {
        Program {
            pool: pool.clone(),
            again: again.clone(),
            memory: Memory::of(graph, &plan),
            plan,
            inputs: graph.inputs().map(|port| (port.name.clone(), port.ty.clone())).collect(),
            outputs: graph.output_types().cloned().collect(),
            arena: Mutex::new(None),
        }
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The estimate of memory that this program needs.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// Floating-point operations of what is computed again because memory is short, an element-wise
    /// function counted as one; zero but for [`crate::Executor::compile_within`].
    pub fn recomputed_flops(&self) -> u64 {
        self.plan.recomputed
    }

    /// Number of steps of the plan, for reports.
    pub fn n_steps(&self) -> usize {
        self.plan.steps.len()
    }

    /// Runs the program. An array that the caller gives away (its only handle) may be reused for
    /// an output of its type; pass a clone to keep it.
    pub fn run(&self, inputs: Vec<Array>) -> Result<Vec<Array>, ExecError> {
        self.run_with(inputs, None)
    }

    /// As [`Program::run`], telling `watch` what each step was as soon as it is done, those inside
    /// of loops included: to time them.
    pub fn run_watched(
        &self,
        inputs: Vec<Array>,
        watch: &mut Watch<'_>,
    ) -> Result<Vec<Array>, ExecError> {
        let watch = RefCell::new(watch);
        let tell = |step: &Step| watch.borrow_mut()(step);
        self.run_with(inputs, Some(&tell))
    }

    fn run_with(
        &self,
        mut inputs: Vec<Array>,
        watch: Option<&Tell<'_>>,
    ) -> Result<Vec<Array>, ExecError> {
        if inputs.len() != self.inputs.len() {
            return Err(ExecError::InputCount { expected: self.inputs.len(), got: inputs.len() });
        }
        for (array, (name, ty)) in inputs.iter().zip(&self.inputs) {
            if array.dtype() != ty.dtype || array.shape() != ty.shape {
                return Err(ExecError::InputType {
                    name: name.clone(),
                    expected: ty.clone(),
                    got: TensorType::new(array.dtype(), array.shape()),
                });
            }
        }
        let mut arena = self.take_arena()?;
        let mut donated: Vec<Option<Array>> = vec![None; self.outputs.len()];
        let mut addresses: Vec<*mut u8> =
            inputs.iter().map(|array| array.as_ptr().cast_mut()).collect();
        for (output, donor) in self.plan.donors.iter().enumerate() {
            let Some(input) = *donor else { continue };
            if inputs[input].is_unique() {
                let placeholder = Array::zeros(DType::Bool, &[0]);
                let mut array = std::mem::replace(&mut inputs[input], placeholder);
                addresses[input] = array.as_mut_ptr();
                donated[output] = Some(array);
            }
        }
        let mut outputs: Vec<Array> = Vec::with_capacity(self.outputs.len());
        for (ty, donated) in self.outputs.iter().zip(donated) {
            outputs.push(match donated {
                Some(array) => array,
                None => Array::try_zeros(ty.dtype, &ty.shape)
                    .map_err(|_| ExecError::OutOfMemory { bytes: ty.size_in_bytes() })?,
            });
        }
        if cfg!(debug_assertions) {
            // What is read or given back before it is written shows as NaN.
            // SAFETY: the arena is this run's own, of as many bytes.
            unsafe { std::ptr::write_bytes(arena.as_mut_ptr(), 0xff, arena.size_in_bytes()) };
        }
        let results: Vec<*mut u8> = outputs.iter_mut().map(Array::as_mut_ptr).collect();
        let bound = Bound {
            pool: &self.pool,
            plan: &self.plan,
            watch,
            inputs: &addresses,
            outputs: &results,
            arena: arena.as_mut_ptr(),
        };
        // SAFETY: inputs were checked against their types; outputs and arena are this run's own; an
        // output that took over an input's place is safe by the plan.
        let outcome = unsafe { bound.run() };
        *self.arena.lock().unwrap_or_else(PoisonError::into_inner) = Some(arena);
        self.again.fetch_add(self.plan.recomputed, Ordering::Relaxed);
        outcome.map(|()| outputs)
    }

    fn take_arena(&self) -> Result<Array, ExecError> {
        let kept = self.arena.lock().unwrap_or_else(PoisonError::into_inner).take();
        let bytes = self.plan.arena_bytes;
        match kept {
            Some(arena) => Ok(arena),
            None => Array::try_zeros(DType::Bool, &[bytes])
                .map_err(|_| ExecError::OutOfMemory { bytes }),
        }
    }
}

/// A plan with the addresses of everything that it touches.
struct Bound<'a> {
    pool: &'a Pool,
    plan: &'a Plan,
    watch: Option<&'a Tell<'a>>,
    inputs: &'a [*mut u8],
    outputs: &'a [*mut u8],
    arena: *mut u8,
}

impl Bound<'_> {
    /// The plan of an inner graph, on the same pool.
    fn inner<'b>(
        &'b self,
        plan: &'b Plan,
        inputs: &'b [*mut u8],
        outputs: &'b [*mut u8],
        arena: *mut u8,
    ) -> Bound<'b> {
        Bound { pool: self.pool, plan, watch: self.watch, inputs, outputs, arena }
    }

    fn address(&self, buffer: BufferId) -> *mut u8 {
        match self.plan.buffers[buffer.0 as usize].home {
            Home::Input(index) => self.inputs[index],
            Home::Output(index) => self.outputs[index],
            Home::Constant(index) => self.plan.constants[index].as_ptr().cast_mut(),
            Home::Arena(offset) => self.arena.wrapping_add(offset),
        }
    }

    fn bytes(&self, buffer: BufferId) -> usize {
        self.plan.buffers[buffer.0 as usize].bytes
    }

    /// # Safety
    /// Addresses are those of buffers of the planned sizes; outputs and arena are unshared.
    unsafe fn run(&self) -> Result<(), ExecError> {
        for step in &self.plan.steps {
            let scratch = self.arena.wrapping_add(step.scratch_offset);
            // SAFETY: the plan gives each step room that nothing else uses while it runs.
            unsafe { self.step(step, scratch)? };
            if let Some(watch) = self.watch {
                watch(step);
            }
        }
        Ok(())
    }

    unsafe fn step(&self, step: &Step, scratch: *mut u8) -> Result<(), ExecError> {
        // SAFETY: the caller's promise.
        unsafe {
            match &step.kernel {
                Kernel::Loop(body) => {
                    let memory = |buffer| (self.address(buffer), self.bytes(buffer));
                    body.run(self.pool, &memory, scratch);
                }
                Kernel::Product { dtype: DType::F64, .. } => self.product::<f64>(step, scratch),
                Kernel::Product { .. } => self.product::<f32>(step, scratch),
                Kernel::Convolution { dtype: DType::F64, .. } => {
                    self.convolution::<f64>(step, scratch);
                }
                Kernel::Convolution { .. } => self.convolution::<f32>(step, scratch),
                Kernel::Plain(plain) => {
                    let slots = |typed: &[(BufferId, TensorType)]| {
                        typed.iter().map(|(buffer, _)| self.address(*buffer)).collect::<Vec<_>>()
                    };
                    let (ins, outs) = (slots(&plain.inputs), slots(&plain.outputs));
                    let with_types =
                        |addresses: Vec<*mut u8>, typed: &'_ [(BufferId, TensorType)]| {
                            addresses
                                .into_iter()
                                .zip(typed.iter().map(|(_, ty)| ty.clone()))
                                .collect::<Vec<_>>()
                        };
                    let (ins, outs) =
                        (with_types(ins, &plain.inputs), with_types(outs, &plain.outputs));
                    let ins: Vec<Slot> =
                        ins.iter().map(|(start, ty)| Slot { start: *start, ty }).collect();
                    let outs: Vec<Slot> =
                        outs.iter().map(|(start, ty)| Slot { start: *start, ty }).collect();
                    let run_plan = |plan: &Plan, inputs: &[*mut u8], outputs: &[*mut u8], arena| {
                        self.inner(plan, inputs, outputs, arena).run()
                    };
                    plain::run(plain, self.pool, &ins, &outs, scratch, &run_plan)?;
                }
                Kernel::Scan(loops) => self.scan(loops, scratch)?,
                Kernel::While(loops) => self.repeat(loops, scratch)?,
            }
        }
        Ok(())
    }

    unsafe fn product<T: Float>(&self, step: &Step, scratch: *mut u8) {
        let Kernel::Product { prepared, a, a_offset, b, b_offset, c, .. } = &step.kernel else {
            return;
        };
        let a = self.address(*a).cast::<T>().wrapping_offset(*a_offset);
        let b = self.address(*b).cast::<T>().wrapping_offset(*b_offset);
        // SAFETY: views lie inside their buffers, and the result's buffer is its own.
        unsafe { prepared.run(self.pool, a, b, self.address(*c).cast(), scratch) };
    }

    unsafe fn convolution<T: Float>(&self, step: &Step, scratch: *mut u8) {
        let Kernel::Convolution { pass, convolution, operands, shared, out, .. } = &step.kernel
        else {
            return;
        };
        let operands = operands.map(|buffer| self.address(buffer).cast::<T>().cast_const());
        let out = self.address(*out).cast();
        // SAFETY: dense operands of the shapes that the plan was made from.
        unsafe { convolution.run(*pass, self.pool, operands, *shared, out, scratch) };
    }

    unsafe fn scan(&self, loops: &Loops, scratch: *mut u8) -> Result<(), ExecError> {
        let scan = &loops.scan;
        let given: Vec<*mut u8> = loops.inputs.iter().map(|&b| self.address(b)).collect();
        let result: Vec<*mut u8> = loops.outputs.iter().map(|&b| self.address(b)).collect();
        let mut other = Vec::with_capacity(scan.n_carry);
        let mut free = scratch.wrapping_add(loops.body.arena_bytes.next_multiple_of(64));
        for bytes in &loops.carry {
            other.push(free);
            free = free.wrapping_add(bytes.next_multiple_of(64));
        }
        // Steps write the two sides in turn, such that the last one writes the result.
        let side = |step: usize| {
            if (scan.length - step).is_multiple_of(2) {
                &result[..scan.n_carry]
            } else {
                &other[..]
            }
        };
        if scan.length == 0 {
            for (i, &bytes) in loops.carry.iter().enumerate() {
                // SAFETY: carry in and out are separate buffers of one size.
                unsafe { std::ptr::copy_nonoverlapping(given[i], result[i], bytes) };
            }
        }
        let xs = scan.n_carry..scan.n_carry + scan.n_xs;
        for step in 0..scan.length {
            let row = if scan.reverse { scan.length - 1 - step } else { step };
            let mut inputs = given.clone();
            if step > 0 {
                inputs[..scan.n_carry].copy_from_slice(side(step));
            }
            for (input, &bytes) in inputs[xs.clone()].iter_mut().zip(&loops.x_rows) {
                *input = input.wrapping_add(row * bytes);
            }
            let mut outputs = result.clone();
            outputs[..scan.n_carry].copy_from_slice(side(step + 1));
            for (output, &bytes) in outputs[scan.n_carry..].iter_mut().zip(&loops.y_rows) {
                *output = output.wrapping_add(row * bytes);
            }
            let body = self.inner(&loops.body, &inputs, &outputs, scratch);
            // SAFETY: rows lie inside their sequences, and the two sides of a carry are separate.
            unsafe { body.run()? };
        }
        Ok(())
    }

    unsafe fn repeat(&self, loops: &WhileLoop, scratch: *mut u8) -> Result<(), ExecError> {
        let n_carry = loops.looped.n_carry;
        let mut inputs: Vec<*mut u8> = loops.inputs.iter().map(|&b| self.address(b)).collect();
        let result: Vec<*mut u8> = loops.outputs.iter().map(|&b| self.address(b)).collect();
        let arena_bytes = loops.body.arena_bytes.max(loops.condition.arena_bytes);
        let mut free = scratch.wrapping_add(arena_bytes.next_multiple_of(64));
        let mut other = Vec::with_capacity(n_carry);
        for bytes in &loops.carry {
            other.push(free);
            free = free.wrapping_add(bytes.next_multiple_of(64));
        }
        let flag = free;
        let mut to_result = true;
        loop {
            let outputs = [flag];
            // SAFETY: the condition writes its one byte into scratch of its own.
            let goes_on = unsafe {
                self.inner(&loops.condition, &inputs, &outputs, scratch).run()?;
                *flag != 0
            };
            if !goes_on {
                break;
            }
            let outputs: &[*mut u8] = if to_result { &result } else { &other };
            // SAFETY: the two sides of a carry are separate.
            unsafe { self.inner(&loops.body, &inputs, outputs, scratch).run()? };
            inputs[..n_carry].copy_from_slice(outputs);
            to_result = !to_result;
        }
        for (i, &bytes) in loops.carry.iter().enumerate() {
            if inputs[i] != result[i] {
                // SAFETY: separate buffers of one size.
                unsafe { std::ptr::copy_nonoverlapping(inputs[i], result[i], bytes) };
            }
        }
        Ok(())
    }
}
