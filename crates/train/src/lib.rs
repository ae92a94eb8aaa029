//! The pure training driver.
