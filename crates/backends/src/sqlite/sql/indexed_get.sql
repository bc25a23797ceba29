SELECT indexed FROM logs WHERE number = $1 AND indexed IS NOT NULL
