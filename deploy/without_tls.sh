#!/bin/sh
# Makes $2/libgnutls.so.30, which stands in for GnuTLS where the program $1 is linked with it.
#
# CRIU can encrypt what it sends to another machine (criu(8), --tls), which crik never has it do; and GnuTLS with all that it needs is 7 MB,
# half of what else is in the image. Each function of this library says no, so that `criu --tls` fails and sends nothing.
set -eu
program=$1
directory=$2
mkdir -p "$directory"
cd "$directory"

case $(uname -m) in
    x86_64) no='mov $-1, %eax' ;;
    aarch64) no='mov w0, #-1' ;;
    *) echo "without_tls.sh: $(uname -m) is not known" >&2; exit 1 ;;
esac

# What is called, and what is only read: pointers to functions.
symbols() {
    readelf --wide --dyn-syms "$program" | sed -n "s/.* $1 .* \(gnutls_[a-z0-9_]*\)@.*/\1/p"
}
{
    echo '.text'
    symbols FUNC | while read -r name; do
        printf '.globl %s\n.type %s, @function\n%s: %s\nret\n.size %s, . - %s\n' "$name" "$name" "$name" "$no" "$name" "$name"
    done
    printf 'nothing: %s\nret\n.data\n.balign 8\n' "$no"
    symbols OBJECT | while read -r name; do
        printf '.globl %s\n.type %s, @object\n.size %s, 8\n%s: .quad nothing\n' "$name" "$name" "$name" "$name"
    done
    echo '.section .note.GNU-stack, "", @progbits'
} >none.s
version=$(readelf --wide --dyn-syms "$program" | sed -n 's/.* gnutls_[a-z0-9_]*@\([A-Z0-9_]*\).*/\1/p' | sort -u)
for each in $version; do
    echo "$each { global: gnutls_*; };"
done >versions
as -o none.o none.s
ld -shared --build-id=sha1 -soname libgnutls.so.30 --version-script=versions -o libgnutls.so.30 none.o
rm none.s none.o versions
