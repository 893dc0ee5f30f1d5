//! What follows from a credential: pure rules, values in and values out.
//!
//! A proxy asks: *may this request pass, and as whom?* The answer is one total function,
//! [`decide::decide`], of three values: the [`evidence`] (what the credential proves), the
//! [`trust::Basis`] (what may be concluded now, from the trust source's state and the
//! configured mode) and the [`policy::Policy`] in force.
//!
//! There is no runtime, socket, file, clock or random source here: time is an argument
//! ([`time::Now`]). So every promise about verdicts is a claim about code that the compiler
//! keeps pure, that a simulator can run a million times a minute and a model checker can explore.

pub mod anchors;
pub mod availability;
pub mod decide;
pub mod evidence;
pub mod headers;
pub mod id;
pub mod limits;
pub mod lists;
pub mod policy;
pub mod reason;
pub mod replay;
pub mod svid;
pub mod time;
pub mod trust;
pub mod unseen;
pub mod upstream;
