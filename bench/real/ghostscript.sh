# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034
# Ghostscript: pages of text, curves and patterns, rendered and made into PDF.
needs=(gs)
prepare() {
	local pages page
	pages=$(scaled 70 10 1)
	{
		echo '%!PS'
		for ((page = 1; page <= pages; page++)); do
			cat <<-PS
				/Times-Roman findfont 9 scalefont setfont
				0 1 75 { /line exch def 40 780 line 10 mul sub moveto
					(Page $page, line ) show line 10 string cvs show
					0 1 15 { line mul $page add 12 string cvs show ( words ) show } for } for
				0 1 120 { /k exch def k 4 mul 100 moveto
					k 5 mul 300 $page k add 700 300 k 2 mul 500 add curveto
					k 120 div $page 50 div 0.5 setrgbcolor stroke } for
				/dict$page 500 dict def 0 1 400 { dict$page exch 20 string cvs cvn 30 array put } for
				showpage
			PS
		done
	} >input.ps
}
run() {
	measured gs -q -dNOPAUSE -dBATCH -dSAFER -sDEVICE=ppmraw -r72 -o /dev/null input.ps
	measured gs -q -dNOPAUSE -dBATCH -dSAFER -sDEVICE=pdfwrite -o /dev/null input.ps
}
