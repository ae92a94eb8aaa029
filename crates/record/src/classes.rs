//! A surface for each class of the examples.

use crate::zarr::{ArraySpec, Group, Store};
use crate::{Result, Surface, number, shape_error};
use serde::{Deserialize, Serialize};

/// The loss of the examples of each class, over the points of a surface of one pair of directions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ClassLosses {
    /// The classes.
    pub classes: Vec<i32>,
    /// How many examples each has.
    pub examples: Vec<u32>,
    /// The mean loss of each at each point, `[class, y, x]`.
    #[serde(with = "number::vec")]
    pub loss: Vec<f64>,
    /// Its standard error, where the examples are a sample.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "number::option_vec")]
    pub standard_error: Option<Vec<f64>>,
}

const LOSS: &str = "class_loss";
const ERROR: &str = "class_loss_standard_error";
const EXAMPLES: &str = "class_examples";

impl ClassLosses {
    /// The surface of one class, by its place.
    pub fn surface(&self, whole: &Surface, place: usize) -> Option<Surface> {
        let points = whole.x.len() * whole.y.len();
        let part = |values: &Vec<f64>| {
            values.get(place * points..(place + 1) * points).map(<[f64]>::to_vec)
        };
        let mut one = Surface {
            pairs: None,
            loss: part(&self.loss)?,
            accuracy: None,
            loss_standard_error: self.standard_error.as_ref().and_then(part),
            adaptive: None,
            topology: None,
            parabolas: Vec::new(),
            derivatives: None,
            convexity: None,
            basin: None,
            classes: None,
            ..whole.clone()
        };
        one.attributes.samples = u64::from(self.examples.get(place).copied().unwrap_or(0));
        Some(one)
    }

    pub(crate) fn check(&self, points: usize) -> Result<()> {
        let all = points.saturating_mul(self.classes.len());
        let errors = self.standard_error.as_ref().map_or(all, Vec::len);
        for (name, length, expected) in [
            (LOSS, self.loss.len(), all),
            (ERROR, errors, all),
            (EXAMPLES, self.examples.len(), self.classes.len()),
        ] {
            if length != expected {
                return Err(shape_error(name, expected, length));
            }
        }
        Ok(())
    }

    pub(crate) fn describe(&self, mut group: Group, [rows, columns]: [usize; 2]) -> Group {
        let n = self.classes.len();
        let values = |what: &str| {
            let spec = ArraySpec::new::<f64>(&[n, rows, columns], &["class", "y", "x"]);
            spec.attribute("long_name", what)
        };
        group = group
            .array("class", ArraySpec::new::<i32>(&[n], &["class"]))
            .array(EXAMPLES, ArraySpec::new::<u32>(&[n], &["class"]))
            .array(LOSS, values("loss of the examples of a class"));
        match self.standard_error {
            Some(_) => group.array(ERROR, values("its standard error")),
            None => group,
        }
    }

    pub(crate) fn write(&self, store: &dyn Store, group: &Group, path: &str) -> Result<()> {
        let at = |name: &str| super::surface_zarr::join(path, name);
        group.write(store, &at("class"), &self.classes)?;
        group.write(store, &at(EXAMPLES), &self.examples)?;
        group.write(store, &at(LOSS), &self.loss)?;
        match &self.standard_error {
            Some(errors) => group.write(store, &at(ERROR), errors),
            None => Ok(()),
        }
    }

    /// What [`ClassLosses::write`] wrote, if there is any.
    pub(crate) fn read(
        store: &dyn Store,
        root: &Group,
        path: &str,
        optional: impl Fn(&str) -> Result<Option<Vec<f64>>>,
    ) -> Result<Option<ClassLosses>> {
        let Some(loss) = optional(LOSS)? else { return Ok(None) };
        let at = |name: &str| super::surface_zarr::join(path, name);
        Ok(Some(ClassLosses {
            classes: root.read(store, &at("class"))?,
            examples: root.read(store, &at(EXAMPLES))?,
            loss,
            standard_error: optional(ERROR)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SurfaceAttributes;
    use crate::zarr::MemoryStore;

    #[test]
    fn classes_go_round_and_are_surfaces_of_their_own() {
        let (at, attributes) = (vec![0.0, 1.0], SurfaceAttributes::default());
        let mut surface = Surface::new(at.clone(), at, None, attributes).unwrap();
        surface.loss = vec![0.0; 4];
        let classes = ClassLosses {
            classes: vec![0, 3],
            examples: vec![5, 6],
            loss: (0..8).map(f64::from).collect(),
            standard_error: Some(vec![0.5; 8]),
        };
        surface.classes = Some(classes.clone());
        let store = MemoryStore::default();
        surface.write_zarr(&store).unwrap();
        assert_eq!(Surface::read_zarr(&store, "").unwrap(), surface);
        let one = classes.surface(&surface, 1).unwrap();
        assert_eq!((one.loss, one.attributes.samples), (vec![4.0, 5.0, 6.0, 7.0], 6));
        assert!(classes.surface(&surface, 2).is_none());
        surface.classes.as_mut().unwrap().loss.pop();
        assert!(surface.check().is_err());
    }
}
