module kanal/services/standalone

go 1.26.0

require kanal/libs v0.0.0

replace kanal/libs => ../../libs

require kanal/services/echo v0.0.0

replace kanal/services/echo => ../echo

require kanal/services/frontend v0.0.0

replace kanal/services/frontend => ../frontend

require kanal/services/groups v0.0.0

replace kanal/services/groups => ../groups

require kanal/services/metadata v0.0.0

replace kanal/services/metadata => ../metadata

require (
	github.com/nats-io/nats-server/v2 v2.15.2
	kanal/services/records v0.0.0
)

replace kanal/services/records => ../records
