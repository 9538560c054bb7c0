module kanal/e2e

go 1.26.0

require kanal/libs v0.0.0

replace kanal/libs => ../libs

require kanal/services/echo v0.0.0

replace kanal/services/echo => ../services/echo

require kanal/services/frontend v0.0.0

replace kanal/services/frontend => ../services/frontend

require kanal/services/groups v0.0.0

replace kanal/services/groups => ../services/groups

require kanal/services/metadata v0.0.0

replace kanal/services/metadata => ../services/metadata

require kanal/services/records v0.0.0

replace kanal/services/records => ../services/records

require (
	github.com/nats-io/nats-server/v2 v2.15.2
	github.com/twmb/franz-go v1.22.2
	github.com/twmb/franz-go/pkg/kadm v1.19.0
	kanal/services/standalone v0.0.0
)

replace kanal/services/standalone => ../services/standalone
