// Package ssl makes the TLS side of a listener out of configuration: PEM files, protocols, what is asked of clients, and
// how a certificate becomes a principal. It watches the files and knows nothing of connections. Its Kafka counterparts are
// SslFactory, DefaultSslEngineFactory and SslPrincipalMapper.
package ssl
