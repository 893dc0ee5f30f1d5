//! What is right by the rules and still hardly meant: for `check-config`, never a reason to refuse.
