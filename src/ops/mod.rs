//! Running the agent: what it tells its operators.

pub mod logs;
