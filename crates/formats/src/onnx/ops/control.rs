//! Branches and loops, settled while tracing.

use crate::onnx::call::{Call, Outcome, axis_of, integers};
use crate::onnx::value::Value;
use thalweg_array::{Array, DType};
use thalweg_graph::Tensor;

/// Whether a value is true, if it is known.
fn truth(value: &Value<'_>) -> Result<Option<bool>, String> {
    match value {
        Value::Host(array) => {
            let single = integers(array)?;
            single.first().map(|&value| Some(value != 0)).ok_or_else(|| "no condition".into())
        }
        _ => Ok(None),
    }
}

/// The branch that a known condition takes, or both and a choice.
pub fn branch<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let (yes, no) = (call.graph("then_branch")?, call.graph("else_branch")?);
    match truth(call.value(0)?)? {
        Some(true) => return call.tracer.inner(&yes, &[]),
        Some(false) => return call.tracer.inner(&no, &[]),
        None => {}
    }
    let condition = call.tensor(0)?.reshape(&[]);
    let builder = call.builder();
    let (yes, no) = (call.tracer.inner(&yes, &[])?, call.tracer.inner(&no, &[])?);
    let mut out = Vec::with_capacity(yes.len());
    for (a, b) in yes.iter().zip(&no) {
        let (a, b) = (a.laid(builder)?.plain(), b.laid(builder)?.plain());
        if a.ty() != b.ty() {
            return Err(format!("its branches give {} and {}", a.ty(), b.ty()));
        }
        out.push(condition.broadcast_in(&a.shape(), &[]).select(a, b).into());
    }
    Ok(out)
}

/// Rows along a new axis.
fn stacked<'b>(
    call: &Call<'_, '_, 'b>,
    rows: &[Value<'b>],
    axis: i64,
) -> Result<Value<'b>, String> {
    let builder = call.builder();
    let mut tensors: Vec<Tensor<'b>> = Vec::with_capacity(rows.len());
    for row in rows {
        tensors.push(row.laid(builder)?.plain());
    }
    let first = tensors.first().ok_or("a loop without steps gives no rows")?;
    if tensors.iter().any(|row| row.ty() != first.ty()) {
        return Err("its rows are of different shapes".into());
    }
    let axis = axis_of(axis, first.rank() + 1)?;
    let rows: Vec<Tensor<'b>> = tensors.iter().map(|row| row.expand(axis)).collect();
    Ok(builder.concatenate(&rows, axis).into())
}

/// A loop whose number of steps is known.
pub fn repeat<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let body = call.graph("body")?;
    let most = if call.has(0) {
        let count = call.host_number(0)?;
        if count >= i64::MAX as f64 { u64::MAX } else { count.max(0.0) as u64 }
    } else {
        u64::MAX
    };
    let known =
        |value: Option<bool>| value.ok_or("the end of a loop must be known before the data are");
    let mut go_on = if call.has(1) { known(truth(call.value(1)?)?)? } else { true };
    let mut carried: Vec<Value<'b>> = Vec::new();
    for i in 2..call.inputs.len() {
        carried.push(call.value(i)?.clone());
    }
    let n = carried.len();
    let n_rows = body.outputs.len().checked_sub(n + 1).ok_or("its body has too few outputs")?;
    let mut rows: Vec<Vec<Value<'b>>> = vec![Vec::new(); n_rows];
    let mut step = 0u64;
    while go_on && step < most {
        let mut inputs =
            vec![Value::Host(Array::scalar(step as i64)), Value::Host(Array::scalar(true))];
        inputs.extend(carried);
        let mut outputs = call.tracer.inner(&body, &inputs)?.into_iter();
        let again = outputs.next().ok_or("its body has no outputs")?;
        go_on = known(truth(&again)?)?;
        carried = outputs.by_ref().take(n).collect();
        for (rows, row) in rows.iter_mut().zip(outputs) {
            rows.push(row);
        }
        step += 1;
    }
    let mut out = carried;
    for rows in &rows {
        out.push(stacked(call, rows, 0)?);
    }
    Ok(out)
}

/// A loop over the rows of its inputs, step by step.
pub fn scan<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    if call.version() < 9 {
        return Err("its first version is not supported".into());
    }
    let body = call.graph("body")?;
    let n_rows_in = call.count_or("num_scan_inputs", 0)?;
    let n = call.inputs.len().checked_sub(n_rows_in).ok_or("it has too few inputs")?;
    let n_rows_out = body.outputs.len().checked_sub(n).ok_or("its body has too few outputs")?;
    let numbers = |name: &str, count: usize| -> Result<Vec<i64>, String> {
        let values = call.integers_of(name)?.unwrap_or_else(|| vec![0; count]);
        match values.len() == count {
            true => Ok(values),
            false => Err(format!("attribute `{name}` is {values:?}")),
        }
    };
    let (axes_in, turned_in) =
        (numbers("scan_input_axes", n_rows_in)?, numbers("scan_input_directions", n_rows_in)?);
    let (axes_out, turned_out) =
        (numbers("scan_output_axes", n_rows_out)?, numbers("scan_output_directions", n_rows_out)?);
    let mut carried: Vec<Value<'b>> = Vec::new();
    for i in 0..n {
        carried.push(call.value(i)?.clone());
    }
    let mut sequences = Vec::new();
    for i in 0..n_rows_in {
        let x = call.tensor(n + i)?;
        sequences.push((x, axis_of(axes_in[i], x.rank())?));
    }
    let lengths: Vec<usize> = sequences.iter().map(|&(x, axis)| x.shape()[axis]).collect();
    let length = *lengths.first().ok_or("it has no sequence")?;
    if lengths.iter().any(|&other| other != length) {
        return Err(format!("its sequences have {lengths:?} rows"));
    }
    let mut rows: Vec<Vec<Value<'b>>> = vec![Vec::new(); n_rows_out];
    for step in 0..length {
        let mut inputs = carried;
        for (&(x, axis), &turned) in sequences.iter().zip(&turned_in) {
            let at = if turned == 1 { length - 1 - step } else { step };
            inputs.push(x.index(axis, at).into());
        }
        let mut outputs = call.tracer.inner(&body, &inputs)?.into_iter();
        carried = outputs.by_ref().take(n).collect();
        for (rows, row) in rows.iter_mut().zip(outputs) {
            rows.push(row);
        }
    }
    let mut out = carried;
    for (i, rows) in rows.iter_mut().enumerate() {
        if turned_out[i] == 1 {
            rows.reverse();
        }
        out.push(stacked(call, rows, axes_out[i])?);
    }
    // A loop whose states are constants gives tensors all the same.
    let builder = call.builder();
    for value in &mut out {
        if value.dtype() == Some(DType::F64) || value.dtype() == Some(DType::F32) {
            *value = value.laid(builder)?.into();
        }
    }
    Ok(out)
}
