//! The loss of a model on data: what every measurement is of.

use crate::arrays::{to_numpy, vectors};
use crate::failure::{Failure, Result};
use crate::job::{self, Job};
use crate::model::Model;
use crate::run::{Found, Run, Store};
use crate::setup::{Data, Options, Setup};
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Arc;
use thalweg_lab::DirectoryStore;
use thalweg_methods::common::{self, LinearOperator};
use thalweg_methods::curvature::Hessian;
use thalweg_methods::{Context, Evaluation, ModelObjective, Status, UnitStore, evaluate};
use thalweg_nn::Weights;

/// The loss of a model on data, taken as the options say; never changed once it is made.
#[pyclass(frozen, module = "thalweg._thalweg")]
#[derive(Clone)]
pub struct Objective {
    setup: Arc<Setup>,
    data: Data,
}

impl Objective {
    /// How the loss is taken.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// What it is taken on.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The traced function, its first output what the loss is of, for the data as they are.
    pub fn function(&self) -> Result<thalweg_nn::Model> {
        self.setup.model().for_loss(self.setup.loss().loss, self.data.inputs())
    }

    /// As the methods take it.
    pub fn open(&self, ctx: &Context<'_>) -> Result<ModelObjective> {
        let (setup, data) = (&self.setup, &self.data);
        let (function, loss) = (self.function()?, setup.loss());
        let objective = ModelObjective::from_arrays(
            ctx,
            &function,
            loss.loss,
            setup.model().normalized(data.inputs())?,
            data.targets().clone(),
            data.classes(),
            setup.config(),
        )?;
        match data.class_counts(&function, &loss)? {
            Some(counts) => Ok(objective.with_class_loss(&loss, &counts)?),
            None => Ok(objective),
        }
    }

    /// Does work on a thread of its own; what is finished of it is kept in the run, if there is
    /// one.
    pub fn work<T: Send + 'static>(
        &self,
        py: Python<'_>,
        run: Option<&Bound<'_, Run>>,
        reporter: Option<&Bound<'_, PyAny>>,
        work: impl FnOnce(&Work<'_>) -> Result<T> + Send + 'static,
    ) -> PyResult<T> {
        let asked = self.clone();
        let store = run.map(|run| run.get().store()).transpose()?;
        job::run(py, reporter, move |job| {
            let units = store.as_ref().map(Store::units);
            let units: Option<&dyn UnitStore> = units.as_ref().map(Found::as_store);
            let ctx = asked.setup.context(job, units)?;
            work(&Work { asked: &asked, job, ctx, store: store.as_ref() })
        })
    }
}

/// What a piece of work has at hand.
pub struct Work<'a> {
    asked: &'a Objective,
    job: &'a Job,
    ctx: Context<'a>,
    store: Option<&'a Store>,
}

impl<'a> Work<'a> {
    /// What was asked.
    pub fn asked(&self) -> &'a Objective {
        self.asked
    }

    /// How the loss is taken.
    pub fn setup(&self) -> &'a Setup {
        &self.asked.setup
    }

    /// The flag that stops it, and where it says how far it is.
    pub fn job(&self) -> &'a Job {
        self.job
    }

    /// What it is computed in.
    pub fn ctx(&self) -> &Context<'a> {
        &self.ctx
    }

    /// The objective as the methods take it.
    pub fn objective(&self) -> Result<ModelObjective> {
        let loss = self.asked.setup.loss();
        if loss.from > 0.0 {
            let expected = "no from=, the share of a training after which weights count";
            return Err(Failure::config("loss", expected, loss));
        }
        self.asked.open(&self.ctx)
    }

    /// The weights in the float type.
    pub fn weights(&self) -> Weights {
        self.asked.setup.weights()
    }

    /// Where results are written to, if they are.
    pub fn results(&self) -> Option<DirectoryStore> {
        self.store.and_then(Store::results)
    }
}

#[pymethods]
impl Objective {
    #[new]
    fn new(
        model: &Bound<'_, Model>,
        x: Vec<Bound<'_, PyUntypedArray>>,
        y: Bound<'_, PyUntypedArray>,
        options: Options,
    ) -> PyResult<Objective> {
        let data = Data::new(&x, &y)?;
        Ok(Objective { setup: Arc::new(Setup::new(model.get(), &options)?), data })
    }

    /// What a person should know of the output that the loss is of.
    fn said(&self) -> Option<String> {
        self.setup.model().said(self.setup.loss().loss)
    }

    /// Loss and accuracy.
    fn evaluate<'py>(
        &self,
        py: Python<'py>,
        reporter: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let found = self.work(py, None, reporter.as_ref(), |work| {
            Ok(evaluate(work.ctx(), &work.objective()?, &work.weights())?)
        })?;
        evaluation(py, &found)
    }

    /// The loss and its gradient as one vector.
    fn gradient<'py>(
        &self,
        py: Python<'py>,
        reporter: Option<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyAny>)> {
        let found = self.work(py, None, reporter.as_ref(), |work| {
            Ok(common::gradient(work.ctx(), &work.objective()?, &work.weights())?)
        })?;
        let vector = self.setup.model().layout().outward(found.gradient);
        let n = vector.len();
        Ok((evaluation(py, &found.at)?, to_numpy(py, vector, &[n])?))
    }

    /// Products of the Hessian with vectors `[k, n]`.
    fn products<'py>(
        &self,
        py: Python<'py>,
        given: Bound<'py, PyUntypedArray>,
        reporter: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let n = self.setup.model().layout().len();
        let given = vectors(&given, n)?;
        let k = given.len();
        let products = self.work(py, None, reporter.as_ref(), move |work| {
            let objective = work.objective()?;
            let hessian = Hessian::new(work.ctx(), &objective, &work.weights())?;
            multiplied(&hessian, work.setup(), given)
        })?;
        to_numpy(py, products, &[k, n])
    }
}

/// Products with vectors, both in PyTorch's layout, one after the other.
pub fn multiplied(
    hessian: &Hessian<'_>,
    setup: &Setup,
    vectors: Vec<Vec<f64>>,
) -> Result<Vec<f64>> {
    let layout = setup.model().layout();
    let inward = vectors.into_iter().map(|v| layout.inward(v)).collect::<Result<Vec<_>>>()?;
    let products = hessian.apply(&inward).map_err(Failure::from)?;
    Ok(products.into_iter().flat_map(|v| layout.outward(v)).collect())
}

/// An evaluation as a dictionary.
pub fn evaluation<'py>(py: Python<'py>, found: &Evaluation) -> PyResult<Bound<'py, PyDict>> {
    let values = PyDict::new(py);
    values.set_item("loss", found.loss)?;
    values.set_item("accuracy", found.accuracy)?;
    values.set_item("standard_error", found.standard_error)?;
    values.set_item("examples", found.examples)?;
    values.set_item("finite", found.status == Status::Computed)?;
    Ok(values)
}
