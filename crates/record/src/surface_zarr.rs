//! A [`Surface`] in Zarr: whole, or chunk by chunk while it is computed.

use crate::zarr::{ArraySpec, Group, Store};
use crate::{
    AdaptiveErrors, Basin, ClassLosses, Convexity, Derivatives, RECORD_VERSION, Result, Surface,
    SurfaceAttributes, Topology, Trajectory, TrajectoryGradients, shape_error,
};

/// The attribute with loss, slope and curvature along each direction at the centre.
const PARABOLAS: &str = "centre_parabolas";

/// The values of one chunk of a surface, row-major over the part inside the grid.
#[derive(Debug, Clone, Copy)]
pub struct ChunkValues<'a> {
    /// The loss.
    pub loss: &'a [f64],
    /// The status of each point.
    pub status: &'a [u8],
    /// The accuracy, if the surface has one.
    pub accuracy: Option<&'a [f64]>,
    /// The standard error of the loss, if the surface has one.
    pub loss_standard_error: Option<&'a [f64]>,
}

impl Surface {
    /// The group that holds this surface, its values cut into chunks of `rows` by `columns` points
    /// (and one pair). Only which optional parts are present matters, not their values.
    ///
    /// # Errors
    /// `Shape` if the parts do not fit the grid.
    pub fn group(&self, rows: usize, columns: usize) -> Result<Group> {
        self.check()?;
        let mut group = Group::default().attribute("record_version", RECORD_VERSION);
        group.set_attributes(&self.attributes)?;
        let shape = self.shape();
        let (dimensions, chunks) = match self.pairs {
            Some(_) => (&["pair", "y", "x"][..], vec![1, rows, columns]),
            None => (&["y", "x"][..], vec![rows, columns]),
        };
        let values = || ArraySpec::new::<f64>(&shape, dimensions).chunked(&chunks);
        let loss_name = self.attributes.loss_name.as_str();
        group = group
            .array(
                "x",
                ArraySpec::new::<f64>(&[self.x.len()], &["x"])
                    .attribute("long_name", "position along the first direction"),
            )
            .array(
                "y",
                ArraySpec::new::<f64>(&[self.y.len()], &["y"])
                    .attribute("long_name", "position along the second direction"),
            )
            .array("loss", values().attribute("long_name", loss_name))
            .array(
                "status",
                ArraySpec::new::<u8>(&shape, dimensions)
                    .chunked(&chunks)
                    .attribute("flag_values", vec![0, 1, 2])
                    .attribute("flag_meanings", "not_computed computed not_finite"),
            );
        if self.accuracy.is_some() {
            group = group.array(
                "accuracy",
                values().attribute("long_name", "share of examples classified correctly"),
            );
        }
        if self.loss_standard_error.is_some() {
            group = group.array(
                "loss_standard_error",
                values().attribute("long_name", "standard error of the loss"),
            );
        }
        if self.adaptive.is_some() {
            let spec = |name| values().attribute("long_name", name);
            let sampling = "standard error against the exact surface of the same examples";
            let samples = "examples that a point was evaluated on, 0 where it is interpolated";
            group = group
                .array("sampling_error", spec(sampling))
                .array("interpolation_error", spec("estimated error of interpolation"))
                .array(
                    "samples",
                    ArraySpec::new::<u32>(&shape, dimensions)
                        .chunked(&chunks)
                        .attribute("long_name", samples),
                );
        }
        if self.spread().is_some() {
            let spec = ArraySpec::new::<f64>(&[self.y.len(), self.x.len()], &["y", "x"]);
            let what = "standard deviation of the loss over pairs of directions";
            group = group.array("loss_spread", spec.attribute("long_name", what));
        }
        if let Some(trajectory) = &self.trajectory {
            for (name, what) in [
                ("trajectory_x", "position along the first direction"),
                ("trajectory_y", "position along the second direction"),
                ("trajectory_residual", "distance from the plane"),
            ] {
                let spec = ArraySpec::new::<f64>(&[trajectory.x.len()], &["checkpoint"]);
                group = group.array(name, spec.attribute("long_name", what));
            }
            if let Some(gradients) = &trajectory.gradients {
                group = gradients.describe(group);
            }
        }
        if let Some(derivatives) = &self.derivatives {
            group = derivatives.describe(group, &shape, dimensions);
        }
        if !self.parabolas.is_empty() {
            let parabolas = serde_json::to_value(&self.parabolas).unwrap_or_default();
            group = group.attribute(PARABOLAS, parabolas);
        }
        if let Some(convexity) = &self.convexity {
            group = convexity.describe(group);
        }
        if let Some(basin) = &self.basin {
            group = basin.describe(group);
        }
        if let Some(classes) = &self.classes {
            group = classes.describe(group, [self.y.len(), self.x.len()]);
        }
        if let Some(topology) = &self.topology {
            group = topology.describe(group);
        }
        Ok(group)
    }

    /// Puts the metadata, the coordinates and the trajectory into the store: what there is before
    /// any point is computed. `group` is that of [`Surface::group`], or one that holds it under
    /// `path`, whose metadata the caller has put there.
    ///
    /// # Errors
    /// `Io` if the store fails.
    pub fn write_frame(&self, store: &dyn Store, group: &Group, path: &str) -> Result<()> {
        let at = |name: &str| join(path, name);
        group.write(store, &at("x"), &self.x)?;
        group.write(store, &at("y"), &self.y)?;
        if let Some(trajectory) = &self.trajectory {
            group.write(store, &at("trajectory_x"), &trajectory.x)?;
            group.write(store, &at("trajectory_y"), &trajectory.y)?;
            group.write(store, &at("trajectory_residual"), &trajectory.residual)?;
            if let Some(gradients) = &trajectory.gradients {
                gradients.write(store, group, path)?;
            }
        }
        Ok(())
    }

    /// Writes one chunk of points. The status goes last and vouches for the rest: a chunk whose
    /// status is there is complete.
    ///
    /// # Errors
    /// `Io` if the store fails, `Shape` if values do not fit the chunk.
    pub fn write_points(
        store: &dyn Store,
        group: &Group,
        path: &str,
        index: &[usize],
        values: ChunkValues<'_>,
    ) -> Result<()> {
        let at = |name: &str| join(path, name);
        for (name, part) in
            [("accuracy", values.accuracy), ("loss_standard_error", values.loss_standard_error)]
        {
            let described = group.find(&at(name)).is_some();
            if described != part.is_some() {
                let say = |there| if there { "present" } else { "absent" };
                return Err(shape_error(at(name), say(described), say(part.is_some())));
            }
            if let Some(part) = part {
                group.write_chunk(store, &at(name), index, part)?;
            }
        }
        group.write_chunk(store, &at("loss"), index, values.loss)?;
        group.write_chunk(store, &at("status"), index, values.status)
    }

    /// Writes the whole surface under `path` of a hierarchy whose metadata is in the store.
    ///
    /// # Errors
    /// `Io` if the store fails, `Shape` if parts do not fit the grid.
    pub fn write_values(&self, store: &dyn Store, group: &Group, path: &str) -> Result<()> {
        self.check()?;
        self.write_frame(store, group, path)?;
        let at = |name: &str| join(path, name);
        if let Some(accuracy) = &self.accuracy {
            group.write(store, &at("accuracy"), accuracy)?;
        }
        if let Some(errors) = &self.loss_standard_error {
            group.write(store, &at("loss_standard_error"), errors)?;
        }
        if let Some(errors) = &self.adaptive {
            group.write(store, &at("sampling_error"), &errors.sampling)?;
            group.write(store, &at("interpolation_error"), &errors.interpolation)?;
            group.write(store, &at("samples"), &errors.samples)?;
        }
        if let Some(spread) = self.spread() {
            group.write(store, &at("loss_spread"), &spread)?;
        }
        if let Some(derivatives) = &self.derivatives {
            derivatives.write(store, group, path)?;
        }
        if let Some(convexity) = &self.convexity {
            convexity.write(store, group, path)?;
        }
        if let Some(basin) = &self.basin {
            basin.write(store, group, path)?;
        }
        if let Some(classes) = &self.classes {
            classes.write(store, group, path)?;
        }
        if let Some(topology) = &self.topology {
            topology.write(store, group, path)?;
        }
        group.write(store, &at("loss"), &self.loss)?;
        group.write(store, &at("status"), &self.status)
    }

    /// Writes the whole surface as a store of its own. Metadata come last: a store that can be
    /// opened is whole.
    ///
    /// # Errors
    /// `Io` if the store fails, `Shape` if parts do not fit the grid.
    pub fn write_zarr(&self, store: &dyn Store) -> Result<()> {
        let group = self.group(self.y.len(), self.x.len())?;
        self.write_values(store, &group, "")?;
        group.create(store)
    }

    /// Reads the surface at `path` of a store (empty: the store itself), complete or not.
    ///
    /// # Errors
    /// `Missing` or `Format` if there is none, `Version` if it is from a later program.
    pub fn read_zarr(store: &dyn Store, path: &str) -> Result<Surface> {
        let root = Group::open(store)?;
        let mut group = &root;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            group = group
                .groups
                .get(part)
                .ok_or_else(|| crate::RecordError::Missing { name: path.to_owned() })?;
        }
        group.check_version(path)?;
        let at = |name: &str| join(path, name);
        let optional = |name: &str| match group.find(name) {
            Some(_) => root.read::<f64>(store, &at(name)).map(Some),
            None => Ok(None),
        };
        let trajectory = match optional("trajectory_x")? {
            Some(x) => Some(Trajectory {
                x,
                y: root.read(store, &at("trajectory_y"))?,
                residual: root.read(store, &at("trajectory_residual"))?,
                gradients: TrajectoryGradients::read(optional)?,
            }),
            None => None,
        };
        let pairs = group.find("loss").and_then(|loss| match loss.shape.as_slice() {
            [pairs, _, _] => Some(*pairs),
            _ => None,
        });
        let adaptive = match optional("sampling_error")? {
            Some(sampling) => Some(AdaptiveErrors {
                sampling,
                interpolation: root.read(store, &at("interpolation_error"))?,
                samples: root.read(store, &at("samples"))?,
            }),
            None => None,
        };
        let surface = Surface {
            x: root.read(store, &at("x"))?,
            y: root.read(store, &at("y"))?,
            pairs,
            loss: root.read(store, &at("loss"))?,
            status: root.read(store, &at("status"))?,
            accuracy: optional("accuracy")?,
            loss_standard_error: optional("loss_standard_error")?,
            adaptive,
            trajectory,
            parabolas: match group.attributes.get(PARABOLAS) {
                Some(found) => serde_json::from_value(found.clone()).map_err(|error| {
                    crate::format_error(at(PARABOLAS), "loss, slope and curvature", error)
                })?,
                None => Vec::new(),
            },
            derivatives: Derivatives::read(optional)?,
            convexity: Convexity::read(group, optional)?,
            basin: Basin::read(group, optional)?,
            classes: ClassLosses::read(store, &root, path, optional)?,
            topology: Topology::read(store, &root, group, path)?,
            attributes: group.attributes_as::<SurfaceAttributes>(path)?,
        };
        surface.check()?;
        Ok(surface)
    }
}

pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zarr::MemoryStore;
    use crate::{COMPUTED, LineGradients, NOT_COMPUTED};

    fn surface(pairs: Option<usize>) -> Surface {
        let attributes = SurfaceAttributes {
            normalize: "filter".into(),
            ignore: vec!["bias".into()],
            explained_variance: vec![0.9, 0.05],
            samples: 512,
            ..SurfaceAttributes::default()
        };
        let mut surface =
            Surface::new(vec![-1.0, 0.0, 1.0], vec![-0.5, 0.5], pairs, attributes).unwrap();
        for (index, loss) in surface.loss.iter_mut().enumerate() {
            *loss = 0.1 * index as f64;
        }
        surface.status.fill(COMPUTED);
        surface.accuracy = Some(surface.loss.clone());
        let gradients =
            LineGradients { norm: vec![3.0, 1.0], cosine: vec![-1.0, -0.5], turn: vec![0.0, 0.25] };
        surface.trajectory = Some(Trajectory {
            x: vec![1.0, 0.0],
            y: vec![0.5, 0.0],
            residual: vec![0.1, 0.0],
            gradients: Some(TrajectoryGradients {
                way: vec![0.0, 2.0],
                loss: vec![1.0, 0.5],
                gradients,
            }),
        });
        surface
    }

    #[test]
    fn a_surface_goes_round() {
        for pairs in [None, Some(3)] {
            let store = MemoryStore::default();
            surface(pairs).write_zarr(&store).unwrap();
            assert_eq!(Surface::read_zarr(&store, "").unwrap(), surface(pairs));
        }
    }

    #[test]
    fn a_surface_is_filled_chunk_by_chunk_under_a_path() {
        let whole = surface(None);
        let store = MemoryStore::default();
        let root = Group::default().group("a", whole.group(1, 2).unwrap());
        root.create(&store).unwrap();
        whole.write_frame(&store, &root, "a").unwrap();
        let accuracy = Some(&[0.5][..]);
        let values =
            ChunkValues { loss: &[7.0], status: &[COMPUTED], accuracy, loss_standard_error: None };
        Surface::write_points(&store, &root, "a", &[1, 1], values).unwrap();
        let back = Surface::read_zarr(&store, "a").unwrap();
        assert_eq!(back.loss[5], 7.0);
        assert_eq!(back.status, [0, 0, 0, 0, 0, 1]);
        assert_eq!(back.status[0], NOT_COMPUTED);
        assert!(back.loss[0].is_nan());
        let without = ChunkValues { accuracy: None, ..values };
        assert!(Surface::write_points(&store, &root, "a", &[0, 0], without).is_err());
    }

    #[test]
    fn pairs_of_directions_have_a_spread() {
        let store = MemoryStore::default();
        let mut three = surface(Some(3));
        three.loss[1] = f64::INFINITY;
        three.write_zarr(&store).unwrap();
        let spread = Group::open(&store).unwrap().read::<f64>(&store, "loss_spread").unwrap();
        // Point 0 has the losses 0, 0.6 and 1.2.
        assert!((spread[0] - 0.6).abs() < 1e-12 && spread[1].is_nan(), "{spread:?}");
        assert!(surface(None).spread().is_none() && surface(Some(1)).spread().is_none());
    }

    #[test]
    fn a_later_version_is_refused() {
        let store = MemoryStore::default();
        let group = surface(None).group(2, 3).unwrap().attribute("record_version", 99);
        group.create(&store).unwrap();
        let message = Surface::read_zarr(&store, "").unwrap_err().to_string();
        assert!(message.contains("record version 99"), "{message}");
    }
}
