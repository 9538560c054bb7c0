module kanal/services/groups

go 1.26.0

require kanal/libs v0.0.0

replace kanal/libs => ../../libs
