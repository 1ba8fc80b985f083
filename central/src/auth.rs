//! People: accounts, roles, sign-in, tokens, API keys.

pub mod http;
