# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034
# A theorem prover: pigeons that do not fit, and arithmetic on bits.
needs=(z3)
prepare() {
	local pigeons holes i j k
	pigeons=$(scaled 10 9 4) holes=$((pigeons - 1))
	{
		for ((i = 0; i < pigeons; i++)); do
			for ((j = 0; j < holes; j++)); do echo "(declare-const p${i}_$j Bool)"; done
			printf '(assert (or'
			for ((j = 0; j < holes; j++)); do printf ' p%d_%d' "$i" "$j"; done
			echo '))'
			for ((k = 0; k < i; k++)); do
				for ((j = 0; j < holes; j++)); do echo "(assert (not (and p${i}_$j p${k}_$j)))"; done
			done
		done
		echo '(check-sat)(reset)'
		echo '(declare-const x (_ BitVec 32))(declare-const y (_ BitVec 32))'
		echo "(assert (not (= (bvmul (bvadd x y) #x0000000$(scaled b 7 3)) (bvadd (bvmul y #x0000000$(scaled b 7 3)) (bvmul x #x0000000$(scaled b 7 3))))))"
		echo '(assert (bvult x #x00001000))(check-sat)'
	} >input.smt2
}
run() { measured z3 input.smt2; }
