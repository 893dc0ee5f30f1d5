//! How proxies forward the client certificate: the grammars of every format.
