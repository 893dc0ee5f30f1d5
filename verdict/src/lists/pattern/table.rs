//! Half a pattern as a table of states, made once.
//!
//! Asking costs one step for each byte, whatever the pattern, and no memory: there is nothing to
//! remember between requests, for any thread. What a pattern would cost a matcher that makes its
//! states while it matches, it costs here, when it is compiled, and is charged to a budget.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::Hir;

use super::PatternError;
use super::viable::{ACCEPTED, Grammar, START};
use crate::lists::limits::{
    PATTERN_MAKING_BYTES, PATTERN_STEPS_BYTES, PATTERN_TABLE_SIZES_BYTES, PATTERNS_BUDGET_BYTES,
};

type States = dense::DFA<Vec<u32>>;

/// The states that the texts of a half lead to.
#[derive(Clone)]
pub(super) struct Table {
    states: Arc<States>,
    start: StateID,
}

impl Table {
    /// Whether the whole text fits.
    pub(super) fn fits(&self, text: &str) -> bool {
        let mut state = self.start;
        for &byte in text.as_bytes() {
            state = self.states.next_state(state, byte);
            if self.states.is_dead_state(state) {
                return false;
            }
        }
        let end = self.states.next_eoi_state(state);
        self.states.is_match_state(end)
    }
}

impl Table {
    /// Refuses a half that no text of its grammar fits: `a\bb`, or one longer than any ID.
    fn check(self, grammar: Grammar) -> Result<Self, PatternError> {
        let mut shorter = HashSet::from([(self.start, START)]);
        let mut reached = shorter.clone();
        for _ in 0..=grammar.max_bytes() {
            if reached.iter().any(|&(state, at)| self.ends(state, at)) {
                return Ok(self);
            }
            reached = reached
                .into_iter()
                .flat_map(|from| self.one_byte_on(from, grammar))
                .filter(|pair| shorter.insert(*pair))
                .collect();
        }
        Err(PatternError::NothingFits)
    }

    fn ends(&self, state: StateID, at: usize) -> bool {
        at == ACCEPTED
            && self
                .states
                .is_match_state(self.states.next_eoi_state(state))
    }

    /// Where the bytes that may come next lead, in the table and in the grammar.
    fn one_byte_on(
        &self,
        (state, at): (StateID, usize),
        grammar: Grammar,
    ) -> impl Iterator<Item = (StateID, usize)> {
        let next = move |byte| {
            let at = grammar.step(at, byte)?;
            let state = self.states.next_state(state, byte);
            (!self.states.is_dead_state(state)).then_some((state, at))
        };
        (0..=u8::MAX).filter_map(next)
    }
}

/// A table is nothing to read: its size is.
impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({} bytes)", self.states.memory_usage())
    }
}

/// What compiling may still cost, in bytes.
pub(in crate::lists) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(PATTERNS_BUDGET_BYTES)
    }
}

impl Budget {
    /// Tries one size after the other; each try is paid for before it is made.
    pub(super) fn compile(&mut self, half: &Hir, grammar: Grammar) -> Result<Table, PatternError> {
        let steps = steps_of(half)?;
        for table_bytes in PATTERN_TABLE_SIZES_BYTES {
            let left = self.0.checked_sub(table_bytes);
            self.0 = left.ok_or(PatternError::BudgetSpent)?;
            match states_of(&steps, table_bytes) {
                Err(error) if error.is_size_limit_exceeded() => {}
                Err(error) => return Err(unsupported(&*error)),
                Ok(states) => return started(states)?.check(grammar),
            }
        }
        Err(PatternError::TooLarge)
    }
}

/// What the table is made from.
fn steps_of(half: &Hir) -> Result<thompson::NFA, PatternError> {
    let config = thompson::Config::new()
        .utf8(false)
        .which_captures(thompson::WhichCaptures::None)
        .nfa_size_limit(Some(PATTERN_STEPS_BYTES));
    let built = thompson::Compiler::new()
        .configure(config)
        .build_from_hir(half);
    built.map_err(|error| match error.size_limit() {
        Some(_) => PatternError::TooLarge,
        None => unsupported(&error),
    })
}

/// All matches, not the leftmost: only whether one ends with the text is asked.
fn states_of(steps: &thompson::NFA, table_bytes: usize) -> Result<States, Box<dense::BuildError>> {
    let config = dense::Config::new()
        .start_kind(StartKind::Anchored)
        .match_kind(MatchKind::All)
        .accelerate(false)
        .dfa_size_limit(Some(table_bytes))
        .determinize_size_limit(Some(table_bytes.min(PATTERN_MAKING_BYTES)));
    let built = dense::Builder::new()
        .configure(config)
        .build_from_nfa(steps);
    built.map_err(Box::new)
}

fn started(states: States) -> Result<Table, PatternError> {
    let at_the_beginning = start::Config::new().anchored(Anchored::Yes);
    let start = states.start_state(&at_the_beginning);
    let start = start.map_err(|error| unsupported(&error))?;
    Ok(Table {
        states: Arc::new(states),
        start,
    })
}

fn unsupported(error: &dyn std::error::Error) -> PatternError {
    PatternError::Syntax {
        message: error.to_string(),
    }
}
