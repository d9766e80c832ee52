//! The product from outside, as one test binary; each module is one promise.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod startup;
#[cfg(test)]
mod support;
