package socketserver

// ParseProxyHeader is for the fuzz test.
var ParseProxyHeader = parseProxyHeader
