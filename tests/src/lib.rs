//! Tests of the whole server; the library itself is empty.
