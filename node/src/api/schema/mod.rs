//! The shapes of bodies, for the description only: parsing is in `request/`, and a test holds the
//! two together.

#![allow(dead_code, reason = "only the schemas of these types are used")]

mod consumers;
mod names;
mod onecall;
mod operations;
mod produce;
mod rules;

pub(super) use consumers::*;
pub(super) use names::*;
pub(super) use onecall::*;
pub(super) use operations::*;
pub(super) use produce::*;
pub(super) use rules::rules;
