//! Stand-in until branch `ids` brings the real lists.
#![allow(missing_docs, reason = "a stand-in")]

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListSpec {
    pub exact: Vec<String>,
    pub prefix: Vec<String>,
    pub trust_domains: Vec<String>,
    pub patterns: Vec<String>,
    pub any: bool,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    Exact,
    Prefix,
    TrustDomains,
    Patterns,
    Any,
}
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryError {
    pub kind: EntryKind,
    pub index: usize,
}
#[derive(Debug)]
pub struct List;
impl List {
    pub fn compile(_: &ListSpec) -> Result<Self, Vec<EntryError>> {
        Ok(Self)
    }
}
