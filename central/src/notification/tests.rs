//! Events become messages once, go out once, and what became of them can be seen.

mod channels;
mod counter;
mod keeping;
mod scene;
mod telling;
