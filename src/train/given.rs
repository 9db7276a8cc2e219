//! What a program hands over to a run as values, in the place of what its configuration names.

use std::sync::Arc;

use crate::data::Source;
use crate::distributed::Communicator;
use crate::loss::Loss;
use crate::model::Model;

/// Values passed in place of the configuration's.
#[derive(Default)]
pub(super) struct Given {
    pub model: Option<Box<dyn Model>>,
    pub dataset: Option<Box<dyn Source>>,
    pub loss: Option<Arc<dyn Loss>>,
    pub communicator: Option<Box<dyn Communicator>>,
}
