//! The agent protocol of Sentinel and Zentinel, on Unix sockets and gRPC.
