//! Proving who somebody is: password, second factor, throttling. It knows bytes and times, not requests or records.

pub mod password;
pub mod throttle;
pub mod token;
pub mod totp;
