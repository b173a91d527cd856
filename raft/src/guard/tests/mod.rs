//! Nodes that live, fail and come back, over real consensus and links that can be cut.
//!
//! The times are those of production. What must not happen is looked for all the time; how long
//! things take is held only against bounds that a busy machine keeps.

mod changing;
mod evening;
mod failing;
mod handing_over;
mod measuring;
mod nodes;
mod quorum;
mod retiring;
mod served_once;
mod succession;

use super::*;
use crate::patience::{always, eventually};
