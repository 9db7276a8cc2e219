//! Values that a program passes to a run, instead of names in its configuration.

use std::sync::Arc;

use super::joining::Joining;
use crate::data::Source;
use crate::loss::Loss;
use crate::model::Model;

/// Values passed in place of the configuration's.
#[derive(Default)]
pub(super) struct Given {
    pub model: Option<Box<dyn Model>>,
    pub dataset: Option<Box<dyn Source>>,
    pub loss: Option<Arc<dyn Loss>>,
    /// The processes that compute the run.
    pub joining: Joining,
}
