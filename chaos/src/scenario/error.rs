//! What is wrong with a scenario file, and where.

/// A place and the rule that is broken there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {rule}")]
pub struct ScenarioError {
    /// The file's name.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is broken.
    pub rule: Rule,
}

/// The rules of a scenario file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// Not KDL 2.
    #[error("this is no KDL 2: {0}")]
    Syntax(String),
    /// More than any scenario needs.
    #[error("the file is longer than 64 KiB")]
    TooLong,
    /// The same.
    #[error("blocks lie deeper than 32 within each other")]
    TooDeep,
    /// A word nobody knows.
    #[error("{word:?} is no {what}; known: {known}")]
    Unknown {
        /// What kind of word is read here.
        what: &'static str,
        /// The word.
        word: String,
        /// What would do.
        known: String,
    },
    /// Something is missing.
    #[error("{of:?} needs {what}")]
    Missing {
        /// The node.
        of: String,
        /// What it lacks.
        what: &'static str,
    },
    /// Something is there that does not belong.
    #[error("{of:?} takes no {what}")]
    Unwanted {
        /// The node.
        of: String,
        /// What it has.
        what: String,
    },
    /// Another type, or out of range.
    #[error("{what} is {rule}")]
    Value {
        /// Which value.
        what: String,
        /// What it must be.
        rule: &'static str,
    },
    /// Twice.
    #[error("{0:?} is there twice")]
    Twice(String),
    /// A promise's name that is taken.
    #[error("every scenario promises {0:?} unasked: give this promise another name")]
    Unasked(String),
    /// The name of the scenario and of its file differ.
    #[error("the scenario is named {name:?}, its file {file:?}")]
    Named {
        /// In the file.
        name: String,
        /// Of the file.
        file: String,
    },
    /// A moment outside the timeline.
    #[error("{at_ms} ms is after the end of the timeline, {lasts_ms} ms")]
    TooLate {
        /// The moment.
        at_ms: u64,
        /// The end.
        lasts_ms: u64,
    },
    /// A promise about a step that is none.
    #[error("no step begins at {0} ms: nothing would be waited for")]
    NoStep(u64),
    /// Nothing happens.
    #[error("the timeline has no step: nothing would be shown")]
    NoSteps,
    /// A step that the process cannot take where it is.
    #[error("at {at_ms} ms: {action:?} of an agent that {is}")]
    OutOfOrder {
        /// When.
        at_ms: u64,
        /// What is to be done.
        action: String,
        /// How the agent's process is at this moment.
        is: &'static str,
    },
    /// A step that ends a fault which there is not.
    #[error("at {at_ms} ms: {action:?} ends nothing: no {needs} of spire came before it")]
    EndsNothing {
        /// When.
        at_ms: u64,
        /// What is to be done.
        action: String,
        /// The faults that it ends.
        needs: &'static str,
    },
    /// A process that is not left running.
    #[error("at the end of the timeline the agent {0}: start or resume it before")]
    Unended(&'static str),
    /// A file that there is not.
    #[error("a step damages the state file, and the agent keeps none: state-dir #true")]
    NoState,
    /// Records that nobody can look at.
    #[error("states are read in records, and there are none to read with `records` stuck or full")]
    NoRecords,
    /// An actor that this agent has not.
    #[error("the scenario's agent has no {actor:?}; it has: {known}")]
    NoActor {
        /// Its name.
        actor: String,
        /// Those that it has.
        known: String,
    },
    /// A promise about restarts of what is never started again.
    #[error(
        "no supervisor of the scenario's agent starts {actor:?} again; those that one does: {known}"
    )]
    NeverRestarted {
        /// Its name.
        actor: String,
        /// Those that are.
        known: String,
    },
    /// A promise about somebody who never asks.
    #[error("{0:?} is not among the callers of the load")]
    NeverAsks(&'static str),
    /// A key that `load` has not, or not there.
    #[error("{rule}; load has two properties, and callers in its block: {as_in}")]
    Load {
        /// What is wrong.
        rule: String,
        /// One that has all keys.
        as_in: &'static str,
    },
    /// A block that is not the file's to write.
    #[error("where records go is said by `records`, not by the agent's `audit` block")]
    Audit,
    /// The agent would refuse its configuration.
    #[error("the agent refuses this configuration: {0}")]
    Config(String),
    /// A twin that breaks a promise nobody gave.
    #[error("no promise is named {0:?}")]
    NoSuchPromise(String),
    /// A twin that is no other.
    #[error("the twin alters nothing")]
    SameTwin,
}
