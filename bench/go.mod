module kanal/bench

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
require kanal/services/standalone v0.0.0

replace kanal/services/standalone => ../services/standalone
