#!/bin/sh
# What udhcpc is given to run: says what happened, and of a lease what it has.
case $1 in
bound) echo "$ip/$mask by $router from $serverid for $lease s" ;;
*) echo "$1" ;;
esac
