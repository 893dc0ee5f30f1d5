//! Each decision is audited once: recorded, waiting, or counted as lost.

use super::Violation;

/// What was decided, and what became of the records of one process.
#[derive(Clone, Debug, Default)]
pub struct Audited {
    decided: u64,
    recorded: u64,
    last: Option<u64>,
}

impl Audited {
    /// A decision was made.
    pub const fn decided(&mut self) {
        self.decided += 1;
    }

    /// Records came out, in this order.
    ///
    /// # Errors
    /// One came twice, or late.
    pub fn recorded(&mut self, ids: &[u64]) -> Result<(), Violation> {
        for id in ids {
            if self.last.is_some_and(|last| last >= *id) {
                return Err(Violation::new(
                    "audited",
                    format!("record {id} came twice, or late"),
                ));
            }
            self.last = Some(*id);
            self.recorded += 1;
        }
        Ok(())
    }

    /// Nothing waits any more.
    ///
    /// # Errors
    /// Records and losses are not the decisions.
    pub fn settled(&self, dropped: u64) -> Result<(), Violation> {
        if self.recorded + dropped == self.decided {
            return Ok(());
        }
        let what = format!(
            "{} decisions, {} records, {dropped} counted as lost",
            self.decided, self.recorded
        );
        Err(Violation::new("audited", what))
    }
}
